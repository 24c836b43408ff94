from django.db import migrations


class Migration(migrations.Migration):
    """Renames a column and drops another; one more migration drops the last."""

    dependencies = [("soak", "0004_move")]
    operations = [
        migrations.RenameField("order", "note", "remark"),
        migrations.RemoveField("order", "score"),
    ]
