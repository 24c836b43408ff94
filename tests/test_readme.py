"""The README does what it says: every code block in it is run (see ``tests/code_blocks.py``)."""

import os
from pathlib import Path

import pytest

from tests.code_blocks import ROOT, PageError, Reader, blocks_of, follow_page, own_environment

pytestmark = pytest.mark.skipif(
    os.environ.get("STOCKANDFLOW_TEST_DB", "sqlite") != "sqlite",
    reason="the README's project brings its own SQLite file: one run shows it all",
)


@pytest.mark.slow
def test_every_code_block_of_the_readme_runs_and_prints_what_it_shows(tmp_path: Path) -> None:
    reader = Reader(tmp_path, "README.md", python=own_environment(tmp_path))
    assert follow_page((ROOT / "README.md").read_text(), reader) > 0


PAGE = """
<!-- file: shop/words.py -->
```python
GREETING = "hello"
```

<!-- append: shop/words.py -->
```python
NAME = "reader"
```

```python
from shop.words import GREETING, NAME
print(GREETING, NAME, "at", 12.5, "on 24 Dec")
```

<!-- prints -->
```text
hello reader at ... on 1 Jan 1970
```

```python
>>> from django.apps import apps
>>> apps.get_app_config("shop").name
'shop'
```

- In a list:

  ```console
  $ python -c "import shop.words as w; print(w.GREETING); \\
  print(w.NAME)"
  hello
  reader
  $ python manage.py check
  ```
"""


def test_a_page_that_tells_the_truth_is_followed_to_its_end(tmp_path: Path) -> None:
    assert follow_page(PAGE, Reader(tmp_path, "page.md")) == len(blocks_of(PAGE)) == 6


@pytest.mark.parametrize(
    ("page", "message"),
    [
        ("```console\n$ echo one\ntwo\n```\n", r"page.md:2: the page shows something else"),
        ("```console\n$ echo one\n$ false\n```\n", r"page.md:3: .* exited with 1"),
        ("```console\necho one\n```\n", r"starts with a command after '\$ '"),
        (
            "```python\nprint(1)\n```\n<!-- prints -->\n```text\n2\n```\n",
            r"page.md:5: the page shows something",
        ),
        ("```python\n>>> 1 + 1\n3\n```\n", r"page.md:1: .*Expected:\n    3\nGot:\n    2"),
        ("```python\nraise ValueError\n```\n", r"page.md:1: .* exited with 1"),
        ("```sh\nfalse\n```\n", r"page.md:1: .* exited with 1"),
        ("```text\nnever run\n```\n", r"page.md:1: a block of 'text' is not run by anything"),
        ("```\nnever run\n```\n", r"page.md:1: a block of 'no language' is not run by anything"),
        ("<!-- at: home -->\n```sh\ntrue\n```\n", r"'at: home' is unknown, write 'at: clone'"),
    ],
)
def test_a_page_that_is_wrong_fails_at_its_line(page: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(PageError, match=rf"(?s){message}"):
        follow_page(page, Reader(tmp_path, "page.md"))


def test_commands_at_the_clone_run_in_a_copy_of_this_repository(tmp_path: Path) -> None:
    shown = "MIT License\ndjango-stockandflow\n"
    page = f"<!-- at: clone -->\n```console\n$ head -1 LICENSE; basename $PWD\n{shown}$ make test\n```\n"
    follow_page(page, Reader(tmp_path, "page.md"))
    assert not (tmp_path / "django-stockandflow" / ".git").exists()
    assert not (tmp_path / "django-stockandflow" / ".venv").exists(), "make test was run, not only planned"
