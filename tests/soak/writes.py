"""What the writers of a long run do: every door that an application has, on whatever rows there are."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random

from django.db import connection, transaction
from django.db.models import F

from tests.soak.models import STATUSES, Customer, Order

ROOM = 600
"""About as many orders as there are at a time: more are deleted than come."""


class TakenBack(Exception):
    """Ends a transaction that is to leave nothing."""


Write = Callable[[Random], object]


def execute(sql: str, *params: str | int) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


def keys(chance: Random, most: int) -> list[int]:
    """Some keys of orders that are there, or were a moment ago."""
    found = list(Order._default_manager.order_by("pk").values_list("pk", flat=True))
    return chance.sample(found, min(len(found), chance.randint(1, most)))


def an_order(chance: Random) -> Order | None:
    return Order._default_manager.filter(pk__in=keys(chance, 1)).first()


def a_customer(chance: Random) -> Customer:
    name = f"Customer {chance.randrange(40)}"
    return Customer._default_manager.filter(name=name).first() or Customer._default_manager.create(name=name)


def new(chance: Random) -> Order:
    return Order(customer=a_customer(chance), status=a_status(chance), amount=an_amount(chance))


def a_status(chance: Random) -> str:
    return chance.choice(STATUSES)


def an_amount(chance: Random) -> int:
    return chance.randrange(200)


def create(chance: Random) -> None:
    new(chance).save()


def save(chance: Random) -> None:
    if order := an_order(chance):
        order.status, order.amount = a_status(chance), an_amount(chance)
        order.save()


def save_one_field(chance: Random) -> None:
    if order := an_order(chance):
        order.status, order.amount = a_status(chance), an_amount(chance)
        order.save(update_fields=[chance.choice(["status", "amount"])])


def save_a_stale_copy(chance: Random) -> None:
    if order := an_order(chance):
        other = Order._default_manager.filter(pk=order.pk).first()
        order.status = a_status(chance)
        order.save()
        if other is not None:
            other.amount = an_amount(chance)
            other.save()


def delete(chance: Random) -> None:
    if order := an_order(chance):
        order.delete()


def delete_and_revive(chance: Random) -> None:
    if order := an_order(chance):
        pk = order.pk
        order.delete()
        order.pk, order.status = pk, a_status(chance)
        order.save()


def update_or_create(chance: Random) -> None:
    status, customer = a_status(chance), a_customer(chance)
    Order._default_manager.update_or_create(
        code=f"code {chance.randrange(20)}",
        defaults={"status": status},
        create_defaults={"status": status, "customer": customer},
    )


def bulk_create(chance: Random) -> None:
    customer = a_customer(chance)
    Order._default_manager.bulk_create(
        Order(customer=customer, status=a_status(chance), amount=an_amount(chance))
        for _ in range(chance.randint(1, 30))
    )


def bulk_create_over(chance: Random) -> None:
    customer, taken = a_customer(chance), keys(chance, 5)
    rows = [Order(pk=pk, customer=customer, status=a_status(chance)) for pk in sorted(taken)]
    unique = ["id"] if connection.features.supports_update_conflicts_with_target else None
    Order._default_manager.bulk_create(
        rows, update_conflicts=True, update_fields=["status"], unique_fields=unique
    )


def bulk_update(chance: Random) -> None:
    orders = list(Order._default_manager.filter(pk__in=keys(chance, 20)))
    for order in orders:
        order.status, order.amount = a_status(chance), an_amount(chance)
    Order._default_manager.bulk_update(orders, ["status", "amount"], batch_size=7)


def update(chance: Random) -> None:
    Order._default_manager.filter(pk__in=keys(chance, 30)).update(status=a_status(chance))


def update_by_expression(chance: Random) -> None:
    Order._default_manager.filter(pk__in=keys(chance, 30)).update(amount=(F("amount") * 7 + 13) % 200)


def update_nothing_that_counts(chance: Random) -> None:
    Order._default_manager.filter(pk__in=keys(chance, 30)).update(customer=a_customer(chance))


def delete_some(chance: Random) -> None:
    Order._default_manager.filter(pk__in=keys(chance, 20)).delete()


def delete_a_customer(chance: Random) -> None:
    a_customer(chance).delete()


def sql_update(chance: Random) -> None:
    execute(
        "UPDATE soak_order SET status = %s WHERE status = %s AND id %% 5 = %s",
        *(a_status(chance), a_status(chance), chance.randrange(5)),
    )


def sql_insert(chance: Random) -> None:
    execute(
        "INSERT INTO soak_order (customer_id, status, amount) "
        "SELECT customer_id, %s, amount FROM soak_order WHERE id %% 50 = %s",
        *(a_status(chance), chance.randrange(50)),
    )


def sql_delete(chance: Random) -> None:
    execute("DELETE FROM soak_order WHERE id %% 40 = %s", chance.randrange(40))


def several_in_one_transaction(chance: Random) -> None:
    with transaction.atomic():
        for write in chance.sample(PLAIN, 3):
            write(chance)


def rolled_back(chance: Random) -> None:
    with contextlib.suppress(TakenBack), transaction.atomic():
        for write in chance.sample(PLAIN, 2):
            write(chance)
        raise TakenBack


def rolled_back_to_a_savepoint(chance: Random) -> None:
    with transaction.atomic():
        chance.choice(PLAIN)(chance)
        with contextlib.suppress(TakenBack), transaction.atomic():
            for write in chance.sample(PLAIN, 2):
                write(chance)
            raise TakenBack
        chance.choice(PLAIN)(chance)


PLAIN: list[Write] = [
    create,
    save,
    save_one_field,
    save_a_stale_copy,
    delete,
    delete_and_revive,
    update_or_create,
    bulk_create,
    bulk_create_over,
    bulk_update,
    update,
    update_by_expression,
    update_nothing_that_counts,
    delete_some,
    delete_a_customer,
    sql_update,
    sql_insert,
    sql_delete,
]
WRITES = [*PLAIN, several_in_one_transaction, rolled_back, rolled_back_to_a_savepoint]
ENDING: list[Write] = [delete_some, sql_delete, delete_a_customer]


def chosen(chance: Random) -> Write:
    """What to do next."""
    crowded = chance.random() < 0.1 and Order._default_manager.count() > ROOM
    return chance.choice(ENDING if crowded else WRITES)
