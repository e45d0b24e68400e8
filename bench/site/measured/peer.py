"""Settings of a peer: the least that Django needs, and connections as the peer has them."""

import json
import os

SECRET_KEY = os.environ["SECRET_KEY"]
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "measured.urls"
MIDDLEWARE: list[str] = []
DATABASES = {"default": json.loads(os.environ["BENCH_DATABASE"])}
USE_TZ = True
USE_I18N = False
