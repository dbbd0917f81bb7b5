"""kopf adapter: handlers that pass each event to `EventHandlers`."""

from finetune_operator.kopf_adapter.registry import kopf_settings, make_registry

__all__ = ["kopf_settings", "make_registry"]
