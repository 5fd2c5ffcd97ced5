"""Pickles read as data: a stack machine that builds lists, dicts and records, and calls nothing.

`pickle.Unpickler` imports whatever a file names and calls it. Here the opcodes that `pickletools`
decodes are followed by hand: a global is a pair of words, an object is a record of its state, and a
call is answered only where the caller has given a function of plain values for that very name.
"""

import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

from jaxsr.types import UserError

# no hash, text or comparison of a tuple is ever made: nested twice in itself 60 times it takes for ever
_KEYS = (str, int, float, bytes, type(None))
_VALUES = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE",
    "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "FLOAT", "BINFLOAT",
)  # fmt: skip
_EMPTY = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list, "EMPTY_TUPLE": tuple}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_IGNORED = ("PROTO", "FRAME", "NEXT_BUFFER", "READONLY_BUFFER")
_STEPS = 2**22  # opcodes and copied items of one pickle; a training state of RRDBNet has 100,000


class Global(NamedTuple):
    """A class or function that a pickle names: two words, nothing imported."""

    module: str
    name: str


class Record(NamedTuple):
    """An object of a class that is not imported: its class and its attributes."""

    kind: Global
    state: dict[str, Any]


class Machine(NamedTuple):
    """What reading keeps: the stack, the places of its marks, the memo, the steps that are left (one
    number); and what the caller gave."""

    stack: list[Any]
    marks: list[int]
    memo: dict[int, Any]
    left: list[int]
    calls: Mapping[str, Callable[..., Any]]
    persistent: Callable[[Any], Any]


def load(
    file: BinaryIO, *, calls: Mapping[str, Callable[..., Any]], persistent: Callable[[Any], Any]
) -> Any:
    """The object of one pickle as dicts, lists, tuples, scalars and records; `file` stands behind it.

    calls:      {«module.name»: function of plain values}; the only names whose call is answered
    persistent: persistent id -> value
    Sets come as lists; attributes set on a dict (the metadata of a state_dict) are dropped.
    Raises UserError that names a call that is not among `calls`, without having made it, and for a
    pickle of more steps than any weights need; ValueError, TypeError, KeyError or IndexError where it
    is damaged.
    Source: the opcodes of Python's pickletools.
    """
    held = Machine([], [], {}, [_STEPS], calls, persistent)
    for opcode, argument, _ in pickletools.genops(file):
        _spend(held, 1)
        if opcode.name == "STOP":
            return held.stack.pop()
        if opcode.name not in _IGNORED:
            _follow(held, opcode.name, argument)
    raise ValueError("it ends before its STOP")


def _follow(held: Machine, name: str, argument: Any) -> None:
    """One opcode that makes plain values; the others go on to `_build` and `_place`."""
    stack = held.stack
    if name in _LITERALS:
        stack.append(argument)
    elif name in _VALUES:
        stack.append(_VALUES[name])
    elif name in _EMPTY:
        stack.append(_EMPTY[name]())
    elif name in _TUPLES:
        items = [stack.pop() for _ in range(_TUPLES[name])]
        stack.append(tuple(reversed(items)))
    elif name == "MARK":
        held.marks.append(len(stack))
    elif name in ("LIST", "FROZENSET"):
        stack.append(_above(held))
    elif name == "TUPLE":
        stack.append(tuple(_above(held)))
    elif name == "DICT":
        items = _above(held)
        stack.append({})
        _set(stack[-1], items)
    elif name in ("SETITEM", "SETITEMS"):
        items = _two(stack) if name == "SETITEM" else _above(held)
        _set(stack[-1], items)
    elif name in ("APPEND", "APPENDS", "ADDITEMS"):
        items = [stack.pop()] if name == "APPEND" else _above(held)
        if isinstance(stack[-1], list):  # a list subclass is a record, whose items are not wanted
            stack[-1].extend(items)
    elif name in ("POP", "DUP", "POP_MARK") or "PUT" in name or "GET" in name or name == "MEMOIZE":
        _place(held, name, argument)
    else:
        _build(held, name, argument)


def _place(held: Machine, name: str, argument: Any) -> None:
    """The opcodes that move values between the stack and the memo."""
    if name == "POP":
        held.stack.pop()
    elif name == "POP_MARK":
        _above(held)
    elif name == "DUP":
        held.stack.append(held.stack[-1])
    elif name == "MEMOIZE":
        held.memo[len(held.memo)] = held.stack[-1]
    elif "PUT" in name:
        held.memo[argument] = held.stack[-1]
    else:
        held.stack.append(held.memo[argument])


def _build(held: Machine, name: str, argument: Any) -> None:
    """The opcodes that stand for imports and calls, of which none is made."""
    stack = held.stack
    if name == "GLOBAL":
        stack.append(Global(*argument.split(" ", 1)))
    elif name == "STACK_GLOBAL":
        module, attribute = _two(stack)
        if not (isinstance(module, str) and isinstance(attribute, str)):
            raise TypeError("it names a class by what is not a name")
        stack.append(Global(module, attribute))
    elif name in ("PERSID", "BINPERSID"):
        stack.append(held.persistent(argument if name == "PERSID" else stack.pop()))
    elif name in ("NEWOBJ", "NEWOBJ_EX"):
        if name == "NEWOBJ_EX":
            stack.pop()
        kind, arguments = _two(stack)
        stack.append(_object(held, kind, arguments))
    elif name == "REDUCE":
        kind, arguments = _two(stack)
        stack.append(_call(held, kind, arguments))
    elif name == "BUILD":
        state = stack.pop()
        if isinstance(stack[-1], Record):
            for part in state if isinstance(state, tuple) else (state,):  # (state, slots)
                if isinstance(part, dict):
                    _spend(held, len(part))
                    stack[-1].state.update(part)
    elif name == "INST":
        raise refused(Global(*argument.split(" ", 1)))
    elif name == "OBJ":
        raise refused(_above(held)[0])
    else:
        raise ValueError(f"the opcode {name} has no place in a weight file")


def _object(held: Machine, kind: Any, arguments: Any) -> Any:
    """An instance made without a call: a known one as its value, others as a record."""
    if not isinstance(kind, Global):
        raise TypeError("it makes an object of what is not a class")
    known = ".".join(kind) in held.calls
    return _call(held, kind, arguments) if known else Record(kind, {})


def _call(held: Machine, kind: Any, arguments: Any) -> Any:
    """The answer of one of the caller's functions, which may copy what it is given."""
    if not isinstance(kind, Global) or ".".join(kind) not in held.calls:
        raise refused(kind)
    if not isinstance(arguments, tuple):
        raise TypeError("it calls with what are no arguments")
    _spend(held, len(arguments))
    _spend(held, sum(len(each) for each in arguments if isinstance(each, (dict, list, tuple))))
    return held.calls[".".join(kind)](*arguments)


def _spend(held: Machine, steps: int) -> None:
    """Counts: one value may be named, and so copied, many times over by a small file."""
    held.left[0] -= steps
    if held.left[0] < 0:
        raise UserError("the pickle in it has more parts than any weights have.")


def refused(kind: Any) -> UserError:
    """The error for a call that a pickle asks for; it has not been made."""
    name = repr(".".join(kind)[:120]) if isinstance(kind, Global) else "an object of its own"
    return UserError(
        f"the pickle in it wants to call {name}, which has no part in reading weights: nothing was "
        "run; do not load this file elsewhere unless you trust its author."
    )


def _above(held: Machine) -> list[Any]:
    """Takes what lies above the last mark off the stack."""
    place = held.marks.pop()
    items = held.stack[place:]
    del held.stack[place:]
    return items


def _two(stack: list[Any]) -> list[Any]:
    last = stack.pop()
    return [stack.pop(), last]


def _set(target: Any, items: list[Any]) -> None:
    """Pairs into a dict; the items of a dict subclass become attributes of its record."""
    held = target.state if isinstance(target, Record) else target
    if not isinstance(held, dict):
        raise TypeError("it sets items of what is no dict")
    for key, value in zip(items[0::2], items[1::2], strict=True):
        if not isinstance(key, _KEYS):
            raise TypeError("a key of a dict is neither a name nor a number")
        held[key] = value
