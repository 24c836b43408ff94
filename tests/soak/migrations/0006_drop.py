from django.db import migrations


class Migration(migrations.Migration):
    """After this one the table is as the models have it."""

    dependencies = [("soak", "0005_rename_and_drop")]
    operations = [migrations.RemoveField("order", "remark")]
