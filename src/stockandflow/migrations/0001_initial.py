# The schema of 1.0 in one migration.

import django.db.models.deletion
import stockandflow.models.keys
from django.db import migrations, models


class Migration(migrations.Migration):

    initial = True

    dependencies = [
    ]

    operations = [
        migrations.CreateModel(
            name='ScheduleEntry',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=200, unique=True)),
                ('high_water', models.DateTimeField(blank=True, help_text='The start of the latest period that was run or passed over.', null=True)),
                ('seen_at', models.DateTimeField(blank=True, help_text='When a run of the schedule last looked at it.', null=True)),
            ],
            options={
                'verbose_name_plural': 'schedule entries',
                'ordering': ('name',),
                'default_permissions': ('view',),
            },
        ),
        migrations.CreateModel(
            name='Definition',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('stock', 'stock'), ('flow', 'flow'), ('calendar', 'calendar')], max_length=10)),
                ('slug', models.CharField(max_length=100)),
                ('since', models.DateTimeField(help_text='The first recording that used it.')),
                ('digest', models.CharField(max_length=64)),
                ('text', models.TextField()),
            ],
            options={
                'ordering': ('kind', 'slug', '-since'),
                'get_latest_by': 'since',
                'default_permissions': ('view',),
                'constraints': [models.UniqueConstraint(fields=('kind', 'slug', 'since'), name='sf_definition_since')],
            },
        ),
        migrations.CreateModel(
            name='Delivery',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_model', models.CharField(help_text="Label of the event's model, e.g. shop.saleevent.", max_length=200)),
                ('event_id', models.BigIntegerField()),
                ('flow', models.CharField(max_length=100)),
                ('status', models.CharField(choices=[('pending', 'pending'), ('done', 'done'), ('dead', 'dead')], default='pending', max_length=10)),
                ('attempts', models.PositiveIntegerField(default=0)),
                ('done_calls', models.PositiveIntegerField(default=0, help_text='How many of the callables have succeeded.')),
                ('due_at', models.DateTimeField()),
                ('leased_until', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, help_text='When it was done, or given up.', null=True)),
                ('owner', models.CharField(blank=True, default='', max_length=100)),
                ('error', models.TextField(blank=True, default='')),
            ],
            options={
                'verbose_name_plural': 'deliveries',
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['status', 'due_at'], name='sf_delivery_due')],
                'constraints': [models.UniqueConstraint(fields=('event_model', 'event_id'), name='sf_delivery_event')],
            },
        ),
        migrations.CreateModel(
            name='FlowRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('count', models.PositiveBigIntegerField()),
                ('subjects', models.PositiveBigIntegerField()),
                ('first_in_week', models.PositiveBigIntegerField(default=0, editable=False)),
                ('first_in_month', models.PositiveBigIntegerField(default=0, editable=False)),
                ('first_in_quarter', models.PositiveBigIntegerField(default=0, editable=False)),
                ('first_in_year', models.PositiveBigIntegerField(default=0, editable=False)),
                ('flow', models.CharField(blank=True, max_length=100)),
                ('source', models.CharField(blank=True, max_length=100)),
                ('sink', models.CharField(blank=True, max_length=100)),
                ('calendar', models.CharField(help_text='Time zone, first day of the week, first month.', max_length=100)),
                ('grain', models.CharField(choices=[('hour', 'hour'), ('day', 'day'), ('week', 'week'), ('month', 'month'), ('quarter', 'quarter'), ('year', 'year')], max_length=10)),
                ('start', models.DateTimeField()),
                ('end', models.DateTimeField()),
                ('computed_at', models.DateTimeField(help_text='The instant as of which the events were read; of a final number, the first since which it stands.')),
                ('revision', models.PositiveIntegerField(default=1)),
                ('imported', models.PositiveBigIntegerField(default=0)),
                ('swept', models.PositiveBigIntegerField(default=0)),
                ('initial', models.PositiveBigIntegerField(default=0)),
            ],
            options={
                'ordering': ('-start', 'flow', 'source', 'sink'),
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['grain', 'start'], name='sf_flow_start')],
                'constraints': [models.UniqueConstraint(fields=('calendar', 'grain', 'start', 'flow', 'source', 'sink'), name='sf_flow_period')],
            },
        ),
        migrations.CreateModel(
            name='LevelWatermark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stock', models.CharField(max_length=100)),
                ('timezone', models.CharField(max_length=100)),
                ('since', models.DateTimeField()),
                ('until', models.DateTimeField()),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('stock', 'timezone'), name='sf_level_watermark')],
            },
        ),
        migrations.CreateModel(
            name='Restatement',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(choices=[('stock', 'stock'), ('flow', 'flow')], max_length=10)),
                ('slug', models.CharField(blank=True, help_text='Of the stock or flow.', max_length=100)),
                ('source', models.CharField(blank=True, max_length=100)),
                ('sink', models.CharField(blank=True, max_length=100)),
                ('calendar', models.CharField(blank=True, max_length=100)),
                ('grain', models.CharField(blank=True, choices=[('hour', 'hour'), ('day', 'day'), ('week', 'week'), ('month', 'month'), ('quarter', 'quarter'), ('year', 'year')], max_length=10)),
                ('start', models.DateTimeField()),
                ('end', models.DateTimeField()),
                ('facet', models.CharField(blank=True, max_length=100)),
                ('value', stockandflow.models.keys.KeyField(blank=True, max_length=200)),
                ('revision', models.PositiveIntegerField(help_text='The revision that holds the new number.')),
                ('old_count', models.PositiveBigIntegerField()),
                ('new_count', models.PositiveBigIntegerField()),
                ('old_subjects', models.PositiveBigIntegerField(null=True)),
                ('new_subjects', models.PositiveBigIntegerField(null=True)),
                ('old_computed_at', models.DateTimeField(help_text="Since when the old number stood; None where that isn't known.", null=True)),
                ('at', models.DateTimeField(help_text='When it was restated.')),
                ('cause', models.CharField(max_length=200)),
            ],
            options={
                'ordering': ('-at', '-id'),
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['kind', 'slug', 'start'], name='sf_restatement_number'), models.Index(fields=['at'], name='sf_restatement_at')],
            },
        ),
        migrations.CreateModel(
            name='StockRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('stock', models.CharField(max_length=100)),
                ('timestamp', models.DateTimeField()),
                ('count', models.PositiveBigIntegerField()),
                ('method', models.CharField(choices=[('counted', 'counted'), ('derived', 'derived from events'), ('imported', 'imported')], default='counted', max_length=10)),
                ('computed_at', models.DateTimeField(help_text='When it was derived; of a final level, since when it stands. None where it was counted.', null=True)),
                ('carried_from', models.DateTimeField(help_text='The instant of the count that the events between carried here; None where it was counted.', null=True)),
                ('revision', models.PositiveIntegerField(default=1)),
                ('recent_net', models.BigIntegerField(editable=False, help_text="In less out by the events of the hour before that the count's snapshot held.", null=True)),
            ],
            options={
                'ordering': ('-timestamp', 'stock'),
                'permissions': [('view_process', 'Can view the pages of processes')],
                'get_latest_by': 'timestamp',
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['timestamp'], name='sf_stock_timestamp'), models.Index(fields=['carried_from'], name='sf_stock_carried_from')],
                'constraints': [models.UniqueConstraint(fields=('stock', 'timestamp'), name='sf_stock_instant')],
            },
        ),
        migrations.CreateModel(
            name='Sweep',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('tracker', models.CharField(max_length=100)),
                ('database', models.CharField(help_text='Alias in DATABASES.', max_length=100)),
                ('opened_at', models.DateTimeField(blank=True, help_text='When the first complete sweep had written the opening balance.', null=True)),
                ('completed_at', models.DateTimeField(blank=True, help_text='When the last complete sweep ended.', null=True)),
                ('found', models.PositiveBigIntegerField(default=0, help_text='Missing moves that the last sweep found, or the one under way so far.')),
                ('started_at', models.DateTimeField(blank=True, help_text='When the sweep began that is under way, or was interrupted.', null=True)),
                ('cursor', models.TextField(blank=True, help_text='Key of the last subject seen to.', null=True)),
            ],
            options={
                'ordering': ('database', 'tracker'),
                'default_permissions': ('view',),
                'constraints': [models.UniqueConstraint(fields=('tracker', 'database'), name='sf_sweep_tracker')],
            },
        ),
        migrations.CreateModel(
            name='Watermark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_model', models.CharField(max_length=200)),
                ('calendar', models.CharField(max_length=100)),
                ('event_id', models.BigIntegerField(default=0)),
                ('since', models.DateTimeField(null=True)),
                ('until', models.DateTimeField(null=True)),
                ('computed_at', models.DateTimeField(null=True)),
                ('version', models.PositiveBigIntegerField(default=0)),
                ('anew_since', models.DateTimeField(help_text='Events from here on were changed in place, so these days are computed anew.', null=True)),
                ('horizon', models.DateTimeField(help_text='Events before it were pruned, but for the last one of each subject.', null=True)),
            ],
            options={
                'default_permissions': (),
                'constraints': [models.UniqueConstraint(fields=('event_model', 'calendar'), name='sf_watermark_calendar')],
            },
        ),
        migrations.CreateModel(
            name='FlowFacetRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('count', models.PositiveBigIntegerField()),
                ('subjects', models.PositiveBigIntegerField()),
                ('first_in_week', models.PositiveBigIntegerField(default=0, editable=False)),
                ('first_in_month', models.PositiveBigIntegerField(default=0, editable=False)),
                ('first_in_quarter', models.PositiveBigIntegerField(default=0, editable=False)),
                ('first_in_year', models.PositiveBigIntegerField(default=0, editable=False)),
                ('facet', models.CharField(max_length=100)),
                ('value', stockandflow.models.keys.KeyField(max_length=200)),
                ('flow_record', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='facet_records', to='stockandflow.flowrecord')),
            ],
            options={
                'ordering': ('flow_record', 'facet', 'id'),
                'default_permissions': ('view',),
                'constraints': [models.UniqueConstraint(fields=('flow_record', 'facet', 'value'), name='sf_flow_facet')],
            },
        ),
        migrations.CreateModel(
            name='ScheduleRun',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('period_start', models.DateTimeField()),
                ('period_end', models.DateTimeField()),
                ('missed_since', models.DateTimeField(blank=True, help_text='Start of the first period before this one that was never run for.', null=True)),
                ('status', models.CharField(choices=[('waiting', 'waiting'), ('running', 'running'), ('done', 'done'), ('failed', 'failed'), ('skipped', 'skipped')], default='waiting', max_length=10)),
                ('attempt', models.PositiveIntegerField(default=0)),
                ('owner', models.CharField(blank=True, default='', max_length=100)),
                ('leased_until', models.DateTimeField(blank=True, null=True)),
                ('heartbeat_at', models.DateTimeField(blank=True, null=True)),
                ('started_at', models.DateTimeField(blank=True, null=True)),
                ('finished_at', models.DateTimeField(blank=True, null=True)),
                ('duration', models.DurationField(blank=True, null=True)),
                ('message', models.TextField(blank=True, default='')),
                ('traceback', models.TextField(blank=True, default='')),
                ('entry', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='runs', to='stockandflow.scheduleentry')),
            ],
            options={
                'ordering': ('-period_start', 'entry'),
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['entry', 'status'], name='sf_run_status')],
                'constraints': [models.UniqueConstraint(fields=('entry', 'period_start'), name='sf_run_period')],
            },
        ),
        migrations.CreateModel(
            name='StockFacetRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('facet', models.CharField(max_length=100)),
                ('value', stockandflow.models.keys.KeyField(max_length=200)),
                ('count', models.PositiveBigIntegerField()),
                ('multi_valued', models.BooleanField(default=False, help_text="An object may have several of these values, so their counts don't sum.")),
                ('stock_record', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='facet_records', to='stockandflow.stockrecord')),
            ],
            options={
                'ordering': ('stock_record', 'facet', 'id'),
                'default_permissions': ('view',),
                'constraints': [models.UniqueConstraint(fields=('stock_record', 'facet', 'value'), name='sf_stock_facet')],
            },
        ),
    ]
