"""The exception tree."""

import inspect
import pickle

import pytest

import evergrant
from evergrant import exceptions

CLASSES = [getattr(exceptions, name) for name in exceptions.__all__]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_says_reason_and_hint(kind):
    error = kind("it broke", code="broken", provider="github", connection="work", hint="evergrant connect github")

    assert str(error) == "it broke\nevergrant connect github"
    assert (error.reason, error.hint, error.code) == ("it broke", "evergrant connect github", "broken")
    assert (error.provider, error.connection) == ("github", "work")


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_pickles_whole(kind):
    extra = {name: f"some {name}" for name in kind.__annotations__ if kind is not exceptions.EvergrantError}
    error = kind("it broke", code="broken", provider="github", connection="work", hint="try", **extra)

    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is kind
    assert vars(copy) == vars(error)
    assert str(copy) == str(error)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_one_of_evergrant(kind):
    assert issubclass(kind, evergrant.EvergrantError)
    assert getattr(evergrant, kind.__name__) is kind
    assert kind.__module__ == "evergrant"
    assert kind.__name__ in exceptions.__doc__


@pytest.mark.parametrize(
    ("kind", "parent"),
    [
        (evergrant.UnknownProvider, LookupError),
        (evergrant.InvalidParameter, ValueError),
        (evergrant.InvalidScope, ValueError),
        (evergrant.ReauthorizationRequired, evergrant.NotConnected),
        (evergrant.ConnectDenied, evergrant.ConnectFailed),
        (evergrant.ConnectTimeout, evergrant.ConnectFailed),
        (evergrant.ConnectTimeout, TimeoutError),
        (evergrant.ProviderUnavailable, ConnectionError),
        (evergrant.StoreError, OSError),
        (evergrant.WrongKey, ValueError),
        (evergrant.TemplateError, evergrant.ActionError),
        (evergrant.TemplateError, ValueError),
    ],
)
def test_an_error_is_the_builtin_that_python_has_for_it(kind, parent):
    assert issubclass(kind, parent)


def test_lists_from_the_core_become_tuples():
    error = evergrant.MissingScopes("no", missing=["a"], union=["a", "b"])

    assert (error.missing, error.union) == (("a",), ("a", "b"))


def test_what_the_core_does_not_say_has_a_default():
    assert evergrant.ProviderUnavailable("down").retry_after is None
    assert evergrant.InvalidScope("no").patterns == ()
    assert evergrant.NotConnected("no").code == "not_connected"


def test_an_attribute_of_no_class_is_refused():
    with pytest.raises(TypeError, match="unexpected keyword argument 'retry_after'"):
        evergrant.NotConnected("no", retry_after=3)


def test_the_tree_in_the_docstring_is_the_real_one():
    drawn = {}
    path = []
    for line in exceptions.__doc__.split("```")[1].splitlines()[1:]:
        name = line.lstrip("│├└─ ").split(" ")[0]
        depth = (len(line) - len(line.lstrip("│├└─ "))) // 4
        path[depth:] = [name]
        drawn[name] = path[depth - 1] if depth else None

    real = {
        kind.__name__: kind.__bases__[0].__name__ if kind.__bases__[0] is not Exception else None for kind in CLASSES
    }
    assert drawn == real


def test_every_error_documents_its_attributes():
    for kind in CLASSES:
        for name in inspect.get_annotations(kind):
            assert f"{name}:" in kind.__doc__
