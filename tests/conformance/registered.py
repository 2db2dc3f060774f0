"""What is registered, by the interface that it implements."""

from mmengine.registry import Registry


def registered_classes(registry: Registry, interface: type) -> list[type]:
    """The classes of a registry that implement `interface`, each a single time, in order of their names."""
    registry.import_from_location()
    classes = {cls for cls in registry.module_dict.values() if isinstance(cls, type) and issubclass(cls, interface)}
    return sorted(classes - {interface}, key=lambda cls: cls.__name__)
