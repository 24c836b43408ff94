from django.db import migrations


def move(apps, schema_editor):
    Order = apps.get_model("soak", "Order")
    Order.objects.filter(status="lost").update(status="draft")


class Migration(migrations.Migration):
    """Moves subjects."""

    dependencies = [("soak", "0003_alter")]
    operations = [migrations.RunPython(move, migrations.RunPython.noop)]
