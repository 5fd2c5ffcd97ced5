"""The rules of the house, read from the source."""

import ast
import importlib
import inspect
import pkgutil
from pathlib import Path

import pytest

import jaxsr

PACKAGE = Path(jaxsr.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# what each part may import of jaxsr, besides itself and `disk`
LEAVES = {"models", "losses", "metrics", "degradations"}
ALLOWED = {
    "types": set(),
    "disk": set(),
    "terminal": set(),
    "ops": {"types"},
    "outdoor": set(),
    **{leaf: {"types", "ops"} for leaf in LEAVES},
    "state": {"types"},
    "optimisers": {"types"},
    "algorithms": {"types", "state"},
    "data": {"types", "ops", "outdoor"},
    "interchange": {"types", "ops", "models"},
    "sections": {"types"},
    "sheets": {"types"},
    "logs": {"types"},
    "memory": {"types"},
    "checkpoint": {"types", "state", "data", "interchange"},
    "inference": {"types", "ops", "models", "data", "outdoor"},
    "protocols": {"types", "ops", "metrics"},
    "reported": set(),
    "plane": {"types", "data", "checkpoint"},
    "evaluate_chains": {"types", "data", "evaluate", "protocols", "sheets"},
    "evaluate_clips": {"types", "data", "evaluate", "metrics", "protocols", "sheets"},
    "policy_plots": {"types", "inference", "evaluate", "evaluate_chains", "sheets"},
    "prior_plots": {"logs", "sheets"},
    "evaluate_priors": {"types", "data", "evaluate", "metrics", "protocols", "sheets", "logs", "prior_plots"},
    "evaluate": {"types", "ops", "metrics", "protocols", "data", "outdoor", "sheets", "checkpoint"},
    "benchmarks": {"types", "ops", "data", "inference", "protocols", "sheets"},
    "benchmark_tables": {
        "types", "data", "checkpoint", "evaluate", "protocols", "reported", "sheets", "benchmarks"
    },
    "processes": {"types"},
    "devices": {"types"},
    "train": {
        "types", "state", "checkpoint", "logs", "memory", "devices", "processes", "evaluate", "inference"
    },
    "seeds": {"types", "state", "algorithms", "devices", "evaluate", "logs", "sections", "sheets", "train"},
}  # fmt: skip
ALLOWED["build_method"] = set(ALLOWED) | LEAVES
ALLOWED["build_metrics"] = set(ALLOWED) | LEAVES
ALLOWED["build_chain"] = ALLOWED["build_method"] | {"build_method"}
ALLOWED["build_restorer"] = ALLOWED["build_method"] | {"build_method"}
ALLOWED["build_images"] = ALLOWED["build_method"] | {"build_method"}
ALLOWED["build_toolchain"] = ALLOWED["build_method"] | {"build_method", "build_chain"}
ALLOWED["build_observed"] = set(ALLOWED["build_method"])
ALLOWED["build_prior"] = ALLOWED["build_method"] | {"build_method", "build_observed"}
ALLOWED["build_video"] = ALLOWED["build_method"] | {"build_method"}
ALLOWED["build"] = ALLOWED["build_method"] | {
    "build_method", "build_images", "build_prior", "build_toolchain", "build_video"
}  # fmt: skip
ALLOWED["main"] = {"types", "build", "processes", "terminal", "train"}


def part(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The parts of jaxsr that a file imports, at any depth."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] == "jaxsr"
        ):
            names = node.module.split(".")[1:2] or [alias.name for alias in node.names]
            found |= set(names)
        elif isinstance(node, ast.Import):
            found |= {a.name.split(".")[1] for a in node.names if a.name.startswith("jaxsr.")}
    return found


def test_every_part_imports_only_what_lies_below_it():
    wrong = []
    for path in FILES:
        own = part(path)
        if own == "__init__":
            continue
        assert own in ALLOWED, f"{own} has no place in the import order: give it one"
        wrong += [f"{path.name} imports {n}" for n in imports(path) - ALLOWED[own] - {own, "disk"}]
    assert not wrong, wrong


def test_import_rule_would_notice():
    assert "build" in imports(PACKAGE / "main.py")
    assert "train" in imports(PACKAGE / "build.py")


def test_heavy_packages_stay_out():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else (
                [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            )  # fmt: skip
            for name in names:
                assert name.split(".")[0] not in ("torch", "tensorflow", "cv2", "pickle"), path


def test_configs_import_ml_collections_only(root):
    for path in (root / "configs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.module == "ml_collections", path
            assert not isinstance(node, ast.Import), path


def public_functions():
    for module in pkgutil.walk_packages([str(PACKAGE)], "jaxsr."):
        if module.name == "jaxsr.main":
            continue  # defines flags
        held = importlib.import_module(module.name)
        for name, value in vars(held).items():
            if inspect.isfunction(value) and value.__module__ == module.name and name[0] != "_":
                yield module.name, name, value


FUNCTIONS = list(public_functions())


@pytest.mark.parametrize(
    ("module", "name", "function"), FUNCTIONS, ids=[f"{m}.{n}" for m, n, _ in FUNCTIONS]
)
def test_public_function_has_key_first_keyword_options_and_a_docstring(module, name, function):
    parameters = list(inspect.signature(function).parameters.values())
    for index, parameter in enumerate(parameters):
        if parameter.name == "key":
            assert index == 0, "key is the first argument"
        if isinstance(parameter.default, (bool, int, float, str)) and parameter.default is not None:
            if (module, name, parameter.name) in POSITIONAL_DEFAULTS:
                continue
            assert parameter.kind == parameter.KEYWORD_ONLY, (
                f"option {parameter.name} is keyword-only"
            )
    assert inspect.getdoc(function) or name == "main", "a public function has a docstring"


# arguments that have a natural default and are always given by place
POSITIONAL_DEFAULTS = {
    ("jaxsr.data.pipeline", "iterate", "start"),
    ("jaxsr.checkpoint", "load_run", "network"),
    ("jaxsr.checkpoint", "load_run", "member"),
    ("jaxsr.checkpoint", "flatten", "prefix"),
}


def test_no_hidden_defaults_registries_or_long_files():
    for path in FILES:
        tree, text = ast.parse(path.read_text()), path.read_text()
        assert text.count("\n") <= 400, f"{path} is long: split it"
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("hasattr", "config.get", "eval", "exec"), f"{path}: {called}"
            if isinstance(node, ast.ClassDef):
                bases = [ast.unparse(base) for base in node.bases]
                allowed = {"nn.Module", "NamedTuple", "Exception"}
                frozen = [ast.unparse(d) for d in node.decorator_list]
                assert set(bases) & allowed or "flax.struct.dataclass" in frozen, (
                    f"{path}: {node.name}"
                )


def test_nothing_runs_at_import():
    """Top-level statements are imports, definitions, constants and docstrings."""
    for path in FILES:
        for node in ast.parse(path.read_text()).body:
            plain = (
                ast.Import,
                ast.ImportFrom,
                ast.FunctionDef,
                ast.ClassDef,
                ast.Assign,
                ast.AnnAssign,
            )
            guard = isinstance(node, ast.If) and "__main__" in ast.unparse(node.test)
            text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            assert isinstance(node, plain) or guard or text, f"{path}:{node.lineno}"
