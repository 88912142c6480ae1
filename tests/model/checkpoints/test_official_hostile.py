"""Malicious checkpoints are rejected with a one-line message and never executed."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from spikewatch.model.checkpoints.official_pickle import MAX_TUPLE_ITEMS
from spikewatch.model.network.config import SpikeYOLOConfig
from tests.model.support.official_files import (
    Runs,
    name,
    official_tensors,
    program,
    random_network,
    reduce,
    refused,
    text,
    write_archive,
)

STUB = name("ultralytics.nn.tasks", "DetectionModel")
ORDERED = reduce(name("collections", "OrderedDict"))
METHODS = b"}(" + b"".join(text(m) + STUB for m in ("items", "keys", "get", "__iter__", "__len__")) + b"ub"
INTEGER = {n: b"J" + n.to_bytes(4, "little", signed=True) for n in (-1, 0, 1, 2, 4, 1 << 30)}


@pytest.mark.parametrize(
    ("function", "argument", "named"),
    [
        (os.system, "touch {}", r"'posix\.system'"),
        (exec, "open({!r}, 'w')", r"'builtins\.exec'"),
        (eval, "open({!r}, 'w')", r"'builtins\.eval'"),
        (open, "{}", r"'_?io\.open'"),
        (getattr, "{}", r"'builtins\.getattr'"),
        (__import__, "{}", r"'builtins\.__import__'"),
    ],
)
def test_malicious_file_is_not_executed(
    function: Callable[..., object], argument: str, named: str, tmp_path: Path
) -> None:
    marker = tmp_path / "marker"
    hostile = Runs(function, argument.format(str(marker)), *(["w"] if function is open else []))
    torch.save({"model": {"model.1.encode_conv.weight": torch.zeros(1)}, "epoch": hostile}, tmp_path / "x.pt")
    message = refused(tmp_path / "x.pt", named)
    assert "do not trust this file" in message
    assert not marker.exists()


def test_plain_unpickling_executes_the_malicious_file(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(Runs(os.system, f"touch {marker}"), 2))
    assert marker.exists()


def test_unknown_imports_are_listed_and_bounded(tmp_path: Path) -> None:
    value = b"(" + b"".join(name("evil", f"f{i:02}" + "x" * 200) for i in range(20)) + b"t"
    message = refused(write_archive(tmp_path / "x.pt", program(value)), r"'evil\.f00x.* and 15 more")
    assert ("evil.f04" in message, "evil.f05" in message) == (True, False)
    coloured = program(name("evil\x1b[31m", "f"))
    refused(write_archive(tmp_path / "y.pt", coloured), r"'evil\\x1b\[31m\.f'")


HOSTILE = {
    "a stub called": (reduce(STUB, text("touch"), text("x")), "expected a module|lacks|no tensors"),
    "a stub's class as the module": (STUB, "expected a module"),
    "a stub of a function called": (reduce(name("numpy.core.multiarray", "_reconstruct"), STUB), "tensors"),
    "state of a stub is no dict": (reduce(STUB) + text("x") + b"b", "holds no tensors"),
    "state names dunder attributes": (
        reduce(STUB) + b"}(" + text("__class__") + STUB + text("__setstate__") + STUB + b"ub",
        "holds no tensors",
    ),
    "state replaces the methods of the walk": (
        reduce(STUB) + b"}" + text("fields") + text("_modules") + b"sb",
        "holds no tensors",
    ),
    "modules are no dict": (reduce(STUB) + b"}" + text("_modules") + text("x") + b"sb", "a dict `_modules`"),
    "a module is text": (
        reduce(STUB) + b"}" + text("_modules") + b"}" + text("a") + text("x") + b"ssb",
        "expected a module",
    ),
    "a parameter is a stub": (
        reduce(STUB) + b"}" + text("_parameters") + b"}" + text("a") + reduce(STUB) + b"ssb",
        "'a' is a Stub, expected a tensor",
    ),
    "build on a class": (STUB + b"}" + text("__new__") + STUB + b"sb", "does what torch.save never does"),
    "build on a dict": (b"}}" + text("a") + text("b") + b"sb", "does what torch.save never does"),
    "call of a string": (reduce(text("os.system"), text("x")), "does what torch.save never does"),
    "call of a stub's instance": (reduce(reduce(STUB), text("x")), "does what torch.save never does"),
    "new object of a string": (text("x") + b")\x81", "does what torch.save never does"),
    "an ordered dict whose methods are a stub": (ORDERED + METHODS, "holds no tensors"),
    "modules whose methods are a stub": (
        reduce(STUB) + b"}" + text("_modules") + ORDERED + METHODS + b"sb",
        "holds no tensors",
    ),
    "an allowed container given nonsense": (
        reduce(name("collections", "OrderedDict"), INTEGER[4]),
        "cannot be read",
    ),
    "a storage called": (reduce(name("torch", "HalfStorage"), INTEGER[1 << 30]), "cannot be read"),
    "a tensor of a stub": (
        reduce(name("torch._utils", "_rebuild_tensor_v2"), STUB, INTEGER[0], b")", b")", b"\x89", ORDERED),
        "cannot be read",
    ),
    "a huge bytearray": (reduce(name("__builtin__", "bytearray"), INTEGER[1 << 30]), "'builtins.bytearray'"),
    "a huge tensor": (reduce(name("torch", "Tensor"), INTEGER[1 << 30]), "'torch.Tensor'"),
    "a function called through torch": (
        reduce(name("torch._tensor", "_rebuild_from_type_v2"), STUB, STUB, b")", b"}"),
        "_rebuild_from_type_v2'",
    ),
    "stack global": (text("posix") + text("system") + b"\x93", "opcode STACK_GLOBAL"),
    "inst": (b"(" + text("touch x") + b"iposix\nsystem\n", "opcode INST"),
    "obj": (b"(" + name("posix", "system") + text("touch x") + b"o", "opcode OBJ"),
    "an extension code": (b"\x82\x01", "opcode EXT1"),
    "a persistent id in text": (b"Pposix\n", "opcode PERSID"),
    "a persistent id that is no storage": (text("posix") + b"Q", "does what torch.save never does"),
    "a long string": (b"X\xff\xff\xff\x7fabc", "damaged"),
    "a missing memo": (b"h\x07", "damaged"),
    "an empty stack": (b"sssss", "damaged"),
    "a tuple that nests too deep": (b")" + b"\x85" * (MAX_TUPLE_ITEMS + 1), "a tuple holds"),
    "a tuple that doubles": (b")" + b"q\x01h\x01\x86" * 60, "a tuple holds"),
    "too many imports": (b"(" + b"".join(name("ultralytics", f"C{i}") for i in range(501)) + b"t", "imports"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_use_of_allowed_names_is_rejected(case: str, tmp_path: Path) -> None:
    value, words = HOSTILE[case]
    refused(write_archive(tmp_path / "x.pt", program(value)), words)


def test_other_pickle_protocols_are_rejected(tmp_path: Path) -> None:
    write_archive(tmp_path / "x.pt", b"\x80\x04" + program(b"N")[2:])
    refused(tmp_path / "x.pt", "opcode PROTO 4")


def tensor(size: int, stride: int, numel: int = 4, key: bytes | None = None, hooks: bytes = ORDERED) -> bytes:
    """Return opcodes of a half tensor [size] over storage 0, with false declarations."""
    key = text("0") if key is None else key
    storage = text("storage") + name("torch", "HalfStorage") + key + text("cpu") + INTEGER[numel]
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    shape, strides = INTEGER[size] + b"\x85", INTEGER[stride] + b"\x85"
    return reduce(rebuild, b"(" + storage + b"tQ", INTEGER[0], shape, strides, b"\x89", hooks)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (tensor(4, 1), "tensors such as 'a'"),
        (tensor(1 << 30, 1), "not resizable"),
        (tensor(4, 1 << 30), "not resizable"),
        (tensor(4, 1, numel=1 << 30), "does not match expected size"),
        (tensor(4, 1, numel=2), "does not match expected size"),
        (tensor(4, -1), "cannot be read"),
        (tensor(-1, 1), "cannot be read"),
        (tensor(4, 1, numel=-1), "cannot be read"),
        (tensor(4, 1, key=text("../data.pkl")), "cannot be read"),
        (tensor(1 << 30, 0), "tensors such as 'a'"),
        (tensor(1 << 30, 1, numel=0, key=text("1")), "cannot be read|such as"),
    ],
)
def test_tensors_with_false_sizes_are_rejected(value: bytes, words: str, tmp_path: Path) -> None:
    data = program(b"}" + text("a") + value + b"s")
    refused(write_archive(tmp_path / "x.pt", data, {"0": b"\0" * 8, "1": b""}), words)


def test_huge_tensors_are_rejected_without_allocation(tmp_path: Path) -> None:
    content = {"model.1.encode_conv.weight": torch.zeros(1, 1, 1, 1).half().expand(16, 3, 1 << 20, 1 << 20)}
    content["model.26.cv3.0.2.conv.weight"] = torch.zeros(1, 1, 1, 1).half().expand(2, 1 << 20, 1 << 10, 1)
    torch.save({"model": content}, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "lacks")
    network = random_network(SpikeYOLOConfig("t", 80, 3))
    torch.save({"model": official_tensors(network) | content}, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "has shape")
    constant = {"model.26.dfl.conv.weight": torch.zeros(1, 1, 1, 1).expand(1 << 20, 1 << 20, 1, 1)}
    torch.save({"model": official_tensors(network) | constant}, tmp_path / "x.pt")
    refused(tmp_path / "x.pt", "not 0 to 15")


def test_cyclic_or_excessive_modules_are_rejected(tmp_path: Path) -> None:
    def parent(*children: bytes) -> bytes:
        named = b"".join(text(str(i)) + child for i, child in enumerate(children))
        return reduce(STUB) + b"q\x09}" + text("_modules") + b"}(" + named + b"usb"

    circle = parent(b"h\x09")
    refused(write_archive(tmp_path / "x.pt", program(circle)), "nest deeper than 64")
    twice_each = [parent(b"h\x08", b"h\x08") + b"q\x08" for _ in range(40)]
    doubling = program(b"h\x08", reduce(STUB) + b"q\x08", *twice_each)
    refused(write_archive(tmp_path / "y.pt", doubling), "more than 20,000 modules")


def test_deep_values_do_not_exhaust_the_stack(tmp_path: Path) -> None:
    lists = b"]" * 100_000 + b"a" * 99_999
    refused(write_archive(tmp_path / "x.pt", program(lists)), "expected a module")
    one_in_another = ORDERED + INTEGER[0] + tensor(4, 1, hooks=b"h\x01") + b"sq\x01"
    data = program(b"h\x01", ORDERED + b"q\x01", *[one_in_another] * 5_000)
    refused(write_archive(tmp_path / "y.pt", data, {"0": b"\0" * 8}), "a name is a int")
