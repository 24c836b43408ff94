from django.db import migrations, models


class Migration(migrations.Migration):
    """Alters a new column, and one that the triggers read."""

    dependencies = [("soak", "0002_add")]
    operations = [
        migrations.AlterField("order", "note", models.TextField(null=True)),
        migrations.AlterField(
            "order", "status", models.CharField(db_index=True, default="draft", max_length=50)
        ),
    ]
