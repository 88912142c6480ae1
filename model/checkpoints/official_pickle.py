"""What a pickle asks for, listed from its opcodes without running it.

PyTorch's restricted unpickler reads the file afterwards. This narrows what reaches it: only opcodes that
torch.save writes, only names that official checkpoints need, no tuple that would take ages to hash.
"""

import pickletools
import warnings
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

MAX_GLOBALS = 500
MAX_TUPLE_ITEMS = 10_000
"""Items of a tuple, counted through its tuples. Hashing one visits them all, shared or not, recursively."""

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
    """The pickle is not one that torch.save writes; the message says why."""


def pickle_globals(data: bytes) -> frozenset[str]:
    """Full names of everything that the pickle would import, as Python 3 calls them.

    Raises:
        UnsafePickle: damaged, or made of what torch.save does not write.
    """
    try:
        with warnings.catch_warnings():
            # pickletools decodes escapes in names, and warns of unknown ones
            warnings.simplefilter("ignore", DeprecationWarning)
            return _scan_opcodes(data)
    except (ValueError, IndexError, KeyError) as error:
        raise UnsafePickle(f"the pickle is damaged ({error!a:.80})") from error


def _scan_opcodes(data: bytes) -> frozenset[str]:
    names = set()
    stack = _UnpicklerStack()
    for opcode, argument, _ in pickletools.genops(data):
        if opcode.name not in _OPCODES or (opcode.name == "PROTO" and argument != 2):
            raise UnsafePickle(f"opcode {opcode.name} {argument!a:.40} is none of torch.save")
        if opcode.name == "GLOBAL":
            names.add(_python3_name(str(argument)))
        stack.apply(opcode, argument)
        if len(names) > MAX_GLOBALS:
            raise UnsafePickle(f"more than {MAX_GLOBALS} imports")
    return frozenset(names)


def _python3_name(argument: str) -> str:
    """`__builtin__ set` -> `builtins.set`: pickles of protocol 2 use the names of Python 2."""
    module, _, name = argument.partition(" ")
    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
    return f"{module}.{name}"


class _UnpicklerStack:
    """The unpickler's stack, each value reduced to the number of items that hashing it visits."""

    def __init__(self) -> None:
        self._items: list[int] = []
        self._metastack: list[list[int]] = []
        self._memo: dict[object, int] = {}

    def apply(self, opcode: pickletools.OpcodeInfo, argument: object) -> None:
        """Do to the stack what the opcode does."""
        if opcode.name in _PUT:
            self._memo[argument] = self._items[-1]
        elif opcode.name in _GET:
            self._items.append(self._memo[argument])
        elif opcode.name == "MARK":
            self._metastack.append(self._items)
            self._items = []
        else:
            taken = self._pop(opcode.stack_before)
            count = 1 + sum(taken) if opcode.name in _TUPLES else 1
            if count > MAX_TUPLE_ITEMS:
                raise UnsafePickle(f"a tuple holds {count:,} items, expected at most {MAX_TUPLE_ITEMS:,}")
            self._items += [count] * len(opcode.stack_after)

    def _pop(self, before: list[pickletools.StackObject]) -> list[int]:
        taken: list[int] = []
        below = len(before)
        if pickletools.markobject in before:
            taken, self._items = self._items, self._metastack.pop()
            below = before.index(pickletools.markobject)
        return taken + [self._items.pop() for _ in range(below)]
