from tests.support.identity import issuing, trusting_type

__all__ = ["issuing", "trusting_type"]
