"""The settings of Django's own tests: its cache is the server under test."""

from __future__ import annotations

import os

_LOCATION = f"redis://127.0.0.1:{os.environ['KV_SUITE_PORT']}"
_SQLITE = {"ENGINE": "django.db.backends.sqlite3"}

CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": _LOCATION,
    }
}
DATABASES = {"default": _SQLITE, "other": _SQLITE}
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
SECRET_KEY = "for tests alone"
USE_TZ = False
