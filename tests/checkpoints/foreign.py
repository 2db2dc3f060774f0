"""Classes of packages that are not installed, so that files with pickled objects of them can be written."""

import sys
import types


def foreign_class(monkeypatch, module_name: str, class_name: str, base: type = object) -> type:
    """A class `module_name.class_name` that pickle finds as long as its module is there, see `forget`."""
    for index in range(module_name.count('.') + 1):
        part = '.'.join(module_name.split('.')[:index + 1])
        monkeypatch.setitem(sys.modules, part, sys.modules.get(part) or types.ModuleType(part))
    cls = type(class_name, (base, ), {'__module__': module_name})
    setattr(sys.modules[module_name], class_name, cls)
    return cls


def forget(monkeypatch, package: str) -> None:
    """Take the modules of a package away again, as on a machine that lacks it."""
    for name in [name for name in sys.modules if name.split('.')[0] == package]:
        monkeypatch.delitem(sys.modules, name)
