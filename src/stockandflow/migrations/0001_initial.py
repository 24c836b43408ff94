# The schema of 1.0 in one migration.

import django.db.models.deletion
import stockandflow.models.records
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
            name='Watermark',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('event_model', models.CharField(max_length=200, unique=True)),
                ('event_id', models.BigIntegerField()),
                ('anew_since', models.DateTimeField(help_text='Events from here on were changed in place, so these days are computed anew.', null=True)),
            ],
            options={
                'default_permissions': (),
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
                ('flow', models.CharField(blank=True, max_length=100)),
                ('source', models.CharField(blank=True, max_length=100)),
                ('sink', models.CharField(blank=True, max_length=100)),
                ('grain', models.CharField(choices=[('hour', 'hour'), ('day', 'day'), ('week', 'week'), ('month', 'month'), ('quarter', 'quarter'), ('year', 'year')], max_length=10)),
                ('start', models.DateTimeField()),
                ('end', models.DateTimeField()),
                ('count', models.PositiveBigIntegerField()),
                ('subjects', models.PositiveBigIntegerField()),
                ('computed_at', models.DateTimeField()),
            ],
            options={
                'ordering': ('-start', 'flow', 'source', 'sink'),
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['grain', 'start'], name='sf_flow_start')],
                'constraints': [models.UniqueConstraint(fields=('flow', 'source', 'sink', 'grain', 'start'), name='sf_flow_period')],
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
                ('recent_net', models.BigIntegerField(editable=False, help_text="In less out by the events of the hour before that the count's snapshot held.", null=True)),
            ],
            options={
                'ordering': ('-timestamp', 'stock'),
                'permissions': [('view_process', 'Can view the pages of processes')],
                'get_latest_by': 'timestamp',
                'default_permissions': ('view',),
                'indexes': [models.Index(fields=['timestamp'], name='sf_stock_timestamp')],
                'constraints': [models.UniqueConstraint(fields=('stock', 'timestamp'), name='sf_stock_instant')],
            },
        ),
        migrations.CreateModel(
            name='FlowFacetRecord',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('facet', models.CharField(max_length=100)),
                ('value', stockandflow.models.records.KeyField(max_length=200)),
                ('count', models.PositiveBigIntegerField()),
                ('subjects', models.PositiveBigIntegerField()),
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
                ('value', stockandflow.models.records.KeyField(max_length=200)),
                ('count', models.PositiveBigIntegerField()),
                ('stock_record', models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name='facet_records', to='stockandflow.stockrecord')),
            ],
            options={
                'ordering': ('stock_record', 'facet', 'id'),
                'default_permissions': ('view',),
                'constraints': [models.UniqueConstraint(fields=('stock_record', 'facet', 'value'), name='sf_stock_facet')],
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
    ]
