"""Lambdas, scripts and functions as templates call them."""

import asyncio
import textwrap

import pytest

import evergrant
from evergrant import ActionError, actions
from evergrant.actions import _udf

pytestmark = pytest.mark.usefixtures("home")


@pytest.fixture(autouse=True)
def registry(monkeypatch):
    monkeypatch.setattr(_udf, "_registry", {})


@pytest.fixture
def run(tmp_path):
    """Runs the steps of a template, given as YAML; what the last one gave, or what `awaited` makes of it."""

    def run(steps, inputs=None, *, awaited=False):
        head = "type: action\ndefinition:\n  name: it\n  namespace: tools.mine\n  title: It\n  display_group: Mine\n"
        steps = textwrap.indent(textwrap.dedent(steps).strip(), "    ")
        path = tmp_path / "it.yaml"
        path.write_text(f"{head}  expects: {{}}\n  steps:\n{steps}\n  returns: ${{{{ steps.last.result }}}}\n")
        if awaited:
            return asyncio.run(evergrant.aio.actions.run(path, inputs))
        return actions.run(path, inputs)

    return run


def test_a_lambda_gets_the_value_of_its_step_and_gives_its_result(run):
    steps = """
        - ref: old
          action: core.transform.filter
          args: {items: "${{ inputs.users }}", python_lambda: "lambda x: x.get('age', 0) > 30"}
        - ref: last
          action: core.transform.apply
          args:
            value: ${{ steps.old.result }}
            python_lambda: >-
              lambda x: {u['name']: jsonpath('$.tags[*]', u) for u in x}
    """
    users = [{"name": "ann", "age": 40, "tags": ["a"]}, {"name": "bob"}]
    assert run(steps, {"users": users}) == {"ann": ["a"]}


def test_a_bomb_in_a_lambda_fails_its_step(run):
    steps = """
        - ref: last
          action: core.transform.apply
          args: {value: 1, python_lambda: "lambda x: 10 ** 10 ** 8"}
    """
    with pytest.raises(ActionError, match="the lambda was stopped: an integer has more than 4,096 bits"):
        run(steps)


SCRIPT = """
    - ref: last
      action: core.script.run_python
      args:
        script: |
          def main(words):
              print("not this")
              return {"count": len(words), "words": sorted(set(words))}
        inputs: {words: "${{ inputs.words }}"}
"""


@pytest.mark.parametrize("awaited", [False, True])
def test_a_script_gets_its_inputs_and_gives_its_result(run, awaited):
    assert run(SCRIPT, {"words": ["b", "a", "b"]}, awaited=awaited) == {"count": 3, "words": ["a", "b"]}


def test_the_error_of_a_script_is_that_of_its_step(run):
    with pytest.raises(ActionError, match=r"the script failed: TypeError: object of type 'int' has no len\(\)"):
        run(SCRIPT, {"words": 3})


FUNCTION = """
    - ref: last
      action: tools.mine.double
      args: {numbers: "${{ inputs.numbers }}"}
"""


def test_a_function_gets_what_its_step_says_and_its_inputs_are_checked(run):
    @evergrant.action("tools.mine")
    def double(numbers: list[int]) -> tuple[int, ...]:
        return tuple(number * 2 for number in numbers)

    assert run(FUNCTION, {"numbers": [1, "2"]}) == [2, 4]
    with pytest.raises(ActionError, match=r"numbers\[0\]: an integer is needed, not text"):
        run(FUNCTION, {"numbers": ["x"]})


def test_a_coroutine_function_is_awaited(run):
    @evergrant.action("tools.mine")
    async def double(numbers: list[int]) -> list[int]:
        await asyncio.sleep(0)
        return [number * 2 for number in numbers]

    assert run(FUNCTION, {"numbers": [1]}, awaited=True) == [2]
    with pytest.raises(ActionError, match="coroutine function"):
        run(FUNCTION, {"numbers": [1]})
