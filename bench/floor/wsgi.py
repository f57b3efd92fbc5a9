"""The two views' application: without the product's system checks, which miss its middleware."""

from django.core.wsgi import get_wsgi_application

application = get_wsgi_application()
