"""``manage.py stockandflow`` finds its subcommands, and takes Django's own options before and after them."""

from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from stockandflow.commands import SUBCOMMANDS
from stockandflow.management.commands.stockandflow import Command

pytestmark = pytest.mark.django_db


def test_the_help_names_every_subcommand_with_its_sentence() -> None:
    text = " ".join(Command().create_parser("manage.py", "stockandflow").format_help().split())
    for name, subcommand in SUBCOMMANDS.items():
        assert f"{name} {subcommand.HELP}" in text


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_each_subcommand_has_a_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        Command().run_from_argv(["manage.py", "stockandflow", name, "--help"])
    assert left.value.code == 0
    assert SUBCOMMANDS[name].HELP in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ("--no-color", "-v0", "report", "membership"),
        ("report", "membership", "--no-color", "-v0", "--skip-checks"),
    ],
)
def test_options_of_django_stand_before_or_after_the_subcommand(arguments: tuple[str, ...]) -> None:
    parser = Command().create_parser("manage.py", "stockandflow")
    options = vars(parser.parse_args(arguments))
    assert (options["no_color"], options["verbosity"], options["slug"]) == (True, 0, "membership")


def test_an_option_that_is_not_given_after_the_subcommand_keeps_what_was_given_before() -> None:
    parser = Command().create_parser("manage.py", "stockandflow")
    assert parser.parse_args(["-v3", "report", "membership"]).verbosity == 3
    assert parser.parse_args(["report", "membership"]).verbosity == 1


def test_without_a_subcommand_those_there_are_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        Command().run_from_argv(["manage.py", "stockandflow", "--no-color"])
    assert left.value.code == 2
    assert f"write one of {', '.join(SUBCOMMANDS)}, e.g." in capsys.readouterr().err
    with pytest.raises(CommandError, match="No SUBCOMMAND was given"):
        call_command("stockandflow")
    with pytest.raises(CommandError, match="invalid choice: 'rport'"):
        call_command("stockandflow", "rport")


def test_an_error_on_purpose_is_one_line_on_stderr_and_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        Command(stdout=StringIO()).run_from_argv(
            ["manage.py", "stockandflow", "report", "leds", "--no-color"]
        )
    assert left.value.code == 1
    assert capsys.readouterr().err == (
        "CommandError: No process has the slug 'leds'. Did you mean 'leads'? Registered: 'leads', 'membership', "
        "'support'.\n"
    )
