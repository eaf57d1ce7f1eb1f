"""The rules of the notebooks: functions from a notebook (name without suffix, content) to a list of complaints."""

import ast
import re
from collections.abc import Iterator

from nbformat import NotebookNode

MOST_CODE_CELLS = 14
MOST_LINES = 15
MOST_IMPORTS = 4
MOST_NUMBERS = 6  # that no table holds
WELCOME = {"numpy", "pandas", "scipy", "IPython", "vg_core"}
PROMISES = ("question", "expectation", "cost", "command")  # of the first cell
MEASURED = re.compile(
    r"\d\s*%"  # 71.2 %
    r"|(?:R@|recall@)\d+\D{0,12}[=:≈]\s*\d"  # R@1 = 0.712
    r"|(?:R@|recall@)\d+\s+(?:is|was|of|reaches|rises to|falls to)\s+\d"
    r"|[+−-]\s?\d+(?:\.\d+)?\s+points"  # +3.1 points
    r"|\d\s*±\s*\d",
    flags=re.IGNORECASE,
)


def code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def parsed(notebook: NotebookNode) -> Iterator[tuple[int, ast.Module]]:
    """(number, syntax tree) of each code cell that is plain Python; the others are the complaint of plain_python."""
    for number, cell in enumerate(code(notebook), start=1):
        try:
            yield number, ast.parse(cell.source)
        except SyntaxError:
            continue


def calls(notebook: NotebookNode, function: str) -> list[tuple[int, ast.Call]]:
    """(number of the code cell, call) of each call of a function."""
    nodes = [(number, node) for number, tree in parsed(notebook) for node in ast.walk(tree)]
    return [(n, node) for n, node in nodes if isinstance(node, ast.Call) and ast.unparse(node.func) == function]


def plain_python(name: str, notebook: NotebookNode) -> list[str]:
    known = {number for number, _ in parsed(notebook)}
    every = range(1, len(code(notebook)) + 1)
    return [f"code cell {number} is not plain Python: no magics, no shell" for number in every if number not in known]


def titled(name: str, notebook: NotebookNode) -> list[str]:
    if not re.fullmatch(r"\d\d_[a-z0-9_]+", name):
        return [f"the name '{name}' is not NN_noun"]
    first = notebook.cells[0]
    if first.cell_type != "markdown" or not re.match(rf"# {name[:2]} · \S", first.source):
        return [f"the first cell must begin with '# {name[:2]} · …'"]
    return []


def promising(name: str, notebook: NotebookNode) -> list[str]:
    """The first cell asks, expects, and says what it costs and how to run it."""
    first = notebook.cells[0].source
    labels = {label.lower() for label in re.findall(r"\*\*(\w+)[.:]?\*\*", first)}
    complaints = [f"the first cell has no **{promise}**" for promise in PROMISES if promise not in labels]
    if "?" not in first:
        complaints.append("the first cell asks no question")
    if "run_notebooks.py" not in first or name not in first:
        complaints.append(f"the first cell gives no command: python reports/run_notebooks.py … {name}")
    return complaints


def clean(name: str, notebook: NotebookNode) -> list[str]:
    """No outputs, no counts, nothing that an execution leaves behind: what ``make strip`` makes."""
    complaints = []
    for number, cell in enumerate(code(notebook), start=1):
        if cell.outputs or cell.execution_count is not None:
            complaints.append(f"code cell {number} carries outputs or a count: make strip")
    left = {"papermill", "language_info", "widgets"} & notebook.metadata.keys()
    left |= {key for cell in notebook.cells for key in ("papermill", "execution") if key in cell.metadata}
    if left:
        complaints.append(f"metadata of a run are left ({', '.join(sorted(left))}): make strip")
    return complaints


def small(name: str, notebook: NotebookNode) -> list[str]:
    lines = [sum(bool(line.strip()) for line in cell.source.splitlines()) for cell in code(notebook)]
    complaints = [
        f"code cell {number} has {count} lines, more than {MOST_LINES}"
        for number, count in enumerate(lines, start=1)
        if count > MOST_LINES
    ]
    if len(lines) > MOST_CODE_CELLS:
        complaints.append(f"{len(lines)} code cells, more than {MOST_CODE_CELLS}")
    return complaints


def parameterised(name: str, notebook: NotebookNode) -> list[str]:
    """One parameters cell, the first with code, of literals only (papermill injects after it), in rehearsal."""
    cells = code(notebook)
    tagged = [number for number, cell in enumerate(cells, start=1) if "parameters" in cell.metadata.get("tags", [])]
    if tagged != [1]:
        return [f"exactly the first code cell must carry the tag parameters, not {tagged or 'none'}"]
    values = {}
    for line in ast.parse(cells[0].source).body:
        try:
            (target,) = line.targets
            values[target.id] = ast.literal_eval(line.value)
        except (AttributeError, TypeError, ValueError):
            return [f"parameters: '{ast.unparse(line)}' is not the assignment of a literal to one name"]
    return [] if values.get("profile") == "smoke" else ['parameters: profile must be "smoke"']


def without_definitions(name: str, notebook: NotebookNode) -> list[str]:
    made = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    complaints = []
    for number, tree in parsed(notebook):
        for node in ast.walk(tree):
            named_lambda = isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(node.value, ast.Lambda)
            if isinstance(node, made) or named_lambda:
                complaints.append(f"code cell {number} defines a function or class: that belongs to vg_core")
    return complaints


def importing_little(name: str, notebook: NotebookNode) -> list[str]:
    """A few lines, and of the package its face: ``import vg_core as vg``."""
    complaints, lines = [], 0
    for number, tree in parsed(notebook):
        for node in ast.walk(tree):
            if not isinstance(node, ast.Import | ast.ImportFrom):
                continue
            lines += 1
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            strange = {module for module in names if module.split(".")[0] not in WELCOME}
            if isinstance(node, ast.ImportFrom):
                strange |= {module for module in names if module.split(".")[0] == "vg_core"}
            complaints += [f"code cell {number} imports {module or 'by a relative path'}" for module in sorted(strange)]
    return complaints + ([f"{lines} imports, more than {MOST_IMPORTS}"] if lines > MOST_IMPORTS else [])


def without_measurements(name: str, notebook: NotebookNode) -> list[str]:
    found = []
    for number, cell in enumerate(notebook.cells, start=1):
        if cell.cell_type == "markdown":
            found += [f"cell {number} types a measured number: '{m[0]}'" for m in MEASURED.finditer(cell.source)]
    return found


def paged(name: str, notebook: NotebookNode) -> list[str]:
    """One page under the notebook's own name, closed in the last code cell."""
    opened = [ast.unparse(call) for _, call in calls(notebook, "vg.Page")]
    complaints = [] if opened == [f"vg.Page('{name}', profile)"] else [f"no vg.Page('{name}', profile): {opened}"]
    if [number for number, _ in calls(notebook, "page.close")] != [len(code(notebook))]:
        complaints.append("page.close must be called in the last code cell, and nowhere else")
    return complaints


def without_dictionaries(name: str, notebook: NotebookNode) -> list[str]:
    """What the PDF says is in tables: a page is closed with few numbers beside them."""
    closed = [(number, len(call.keywords)) for number, call in calls(notebook, "page.close")]
    return [
        f"code cell {cell} closes the page with {n} numbers: keep a table" for cell, n in closed if n > MOST_NUMBERS
    ]


def foretold(name: str, notebook: NotebookNode) -> list[str]:
    """Before its experiment a notebook that judges predictions prints which gains can be decided."""
    wanted = ("vg.prospects", "vg.sweep", "vg.judge_predictions")
    said, made, judged = ([(number, call.lineno) for number, call in calls(notebook, one)] for one in wanted)
    if not judged or (said and min(said) < min(made + judged)):
        return []
    return ["no print(vg.prospects(…)) comes before the experiment"]


RULES = (
    plain_python,
    titled,
    promising,
    clean,
    small,
    parameterised,
    without_definitions,
    importing_little,
    without_measurements,
    paged,
    without_dictionaries,
    foretold,
)


def complaints(name: str, notebook: NotebookNode) -> list[str]:
    return [complaint for rule in RULES for complaint in rule(name, notebook)]


def repeated(notebooks: dict[str, NotebookNode]) -> list[str]:
    """Code cells that two notebooks share; parameters, imports and single calls of a stage may look alike."""
    seen, found = {}, []
    for name, notebook in notebooks.items():
        for number, tree in list(parsed(notebook))[1:]:
            body = [node for node in tree.body if not isinstance(node, (ast.Import, ast.ImportFrom))]
            if len(body) < 2:
                continue
            text = ast.dump(ast.Module(body, []))
            other = seen.setdefault(text, name)
            if other != name:
                found.append(f"{name}, code cell {number}, repeats a cell of {other}")
    return found
