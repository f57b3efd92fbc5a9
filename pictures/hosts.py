"""Registries, an image and a key that pictures show."""

HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
NORTH = "123456789012.dkr.ecr.eu-north-1.amazonaws.com"
IMAGE = f"{HOST}/my-ml-image:v1.0"
KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
