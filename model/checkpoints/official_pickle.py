"""Pickle scanner: list the imports of a pickle from its opcodes, without running it.

PyTorch's restricted unpickler reads the file afterwards. The scanner restricts its input: only opcodes that
torch.save writes, only names that official checkpoints need, and no tuple that takes very long to hash.
"""

import pickletools
import warnings
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

MAX_GLOBALS = 500
MAX_TUPLE_ITEMS = 10_000
"""Maximum items of a tuple, nested tuples included. Hashing visits every item recursively, shared or not."""

_PUT = {"BINPUT", "LONG_BINPUT"}
_GET = {"BINGET", "LONG_BINGET"}
_TUPLES = {"TUPLE", "TUPLE1", "TUPLE2", "TUPLE3"}
_OTHER_OPCODES = {
    *("PROTO", "STOP", "MARK", "GLOBAL", "REDUCE", "NEWOBJ", "BUILD", "BINPERSID"),
    *("NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"),
    *("EMPTY_TUPLE", "EMPTY_LIST", "EMPTY_DICT", "APPEND", "APPENDS", "SETITEM", "SETITEMS"),
}
_OPCODES = _PUT | _GET | _TUPLES | _OTHER_OPCODES


class UnsafePickle(Exception):
    """The pickle is damaged or was not written by torch.save; the message gives the reason."""


def pickle_globals(data: bytes) -> frozenset[str]:
    """Return the full Python 3 names of all imports of a pickle.

    Raises:
        UnsafePickle: the pickle is damaged, or has opcodes that torch.save does not write.
    """
    try:
        with warnings.catch_warnings():
            # pickletools warns about unknown escapes in names
            warnings.simplefilter("ignore", DeprecationWarning)
            return _scan_opcodes(data)
    except (ValueError, IndexError, KeyError) as error:
        raise UnsafePickle(f"the pickle is damaged ({error!a:.80})") from error


def _scan_opcodes(data: bytes) -> frozenset[str]:
    names = set()
    stack = _UnpicklerStack()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name not in _OPCODES or (opcode.name == "PROTO" and argument != 2):
            raise UnsafePickle(f"opcode {opcode.name} {argument!a:.40} is never written by torch.save")
        if opcode.name == "GLOBAL":
            names.add(_python3_name(str(argument)))
        stack.apply(opcode, argument)
        if len(names) > MAX_GLOBALS:
            raise UnsafePickle(f"more than {MAX_GLOBALS} imports, expected fewer in an official checkpoint")
    return frozenset(names)


def _python3_name(argument: str) -> str:
    """Convert a Python 2 name of protocol 2 to Python 3: `__builtin__ set` -> `builtins.set`."""
    module, _, name = argument.partition(" ")
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"


class _UnpicklerStack:
    """Stack of the unpickler, with each value replaced by the number of items that hashing it visits."""

    def __init__(self) -> None:
        self._items: list[int] = []
        self._metastack: list[list[int]] = []
        self._memo: dict[object, int] = {}

    def apply(self, opcode: pickletools.OpcodeInfo, argument: object) -> None:
        """Apply an opcode to the stack."""
        if opcode.name in _PUT:
            self._memo[argument] = self._items[-1]
        elif opcode.name in _GET:
            self._items.append(self._memo[argument])
        elif opcode.name == "MARK":
            self._metastack.append(self._items)
            self._items = []
        else:
            popped = self._pop(opcode.stack_before)
            count = 1 + sum(popped) if opcode.name in _TUPLES else 1
            if count > MAX_TUPLE_ITEMS:
                raise UnsafePickle(f"a tuple holds {count:,} items, expected at most {MAX_TUPLE_ITEMS:,}")
            self._items += [count] * len(opcode.stack_after)

    def _pop(self, before: list[pickletools.StackObject]) -> list[int]:
        popped: list[int] = []
        count = len(before)
        if pickletools.markobject in before:
            popped, self._items = self._items, self._metastack.pop()
            count = before.index(pickletools.markobject)
        return popped + [self._items.pop() for _ in range(count)]
