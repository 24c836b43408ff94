from django.db import migrations, models


class Migration(migrations.Migration):
    """Adds columns that processes of the old code can leave out: one may be empty, one has the database's default."""

    dependencies = [("soak", "0001_initial")]
    operations = [
        migrations.AddField("order", "note", models.CharField(max_length=50, null=True)),
        migrations.AddField("order", "score", models.IntegerField(default=0, db_default=0)),
    ]
