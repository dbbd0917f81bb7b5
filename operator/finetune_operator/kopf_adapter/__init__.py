"""What kopf calls: each handler takes one event, feeds it to the intake, and is done."""

from finetune_operator.kopf_adapter.registry import kopf_settings, make_registry

__all__ = ["kopf_settings", "make_registry"]
