import django.db.models.deletion
from django.db import migrations, models

import stockandflow.models.events


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="Customer",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("name", models.CharField(max_length=50)),
            ],
        ),
        migrations.CreateModel(
            name="Order",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("code", models.CharField(max_length=50, null=True, unique=True)),
                ("status", models.CharField(db_index=True, default="draft", max_length=20)),
                ("amount", models.IntegerField(default=1)),
                (
                    "customer",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="orders", to="soak.customer"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="OrderFlowEvent",
            fields=[
                ("id", models.BigAutoField(primary_key=True, serialize=False)),
                ("tracker", models.CharField(blank=True, default="", editable=False, max_length=100)),
                ("flow", models.CharField(blank=True, default="", max_length=100)),
                ("source", models.CharField(blank=True, default="", max_length=100)),
                ("sink", models.CharField(blank=True, default="", max_length=100)),
                ("timestamp", models.DateTimeField(db_index=True, help_text="When it happened.")),
                ("recorded_at", models.DateTimeField(editable=False, help_text="When it was written down.")),
                ("facets", models.JSONField(blank=True, default=dict)),
                (
                    "origin",
                    models.CharField(
                        choices=[("live", "live"), ("initial", "initial"), ("sweep", "sweep"), ("import", "import")],
                        default="live",
                        max_length=10,
                    ),
                ),
                ("subject", stockandflow.models.events.SubjectForeignKey(related_name="+", to="soak.order")),
            ],
            options={
                "ordering": ("-timestamp", "-id"),
                "get_latest_by": ("timestamp", "id"),
                "abstract": False,
                "indexes": [models.Index(fields=["subject", "timestamp"], name="soak_event_subject")],
            },
        ),
    ]
