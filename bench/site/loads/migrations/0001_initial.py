from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            name="World",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("number", models.IntegerField()),
            ],
        ),
        migrations.CreateModel(
            name="Fortune",
            fields=[
                ("id", models.BigAutoField(primary_key=True)),
                ("message", models.CharField(max_length=2048)),
            ],
        ),
    ]
