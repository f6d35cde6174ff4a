"""`redact` masks live secrets in values, exceptions and log records, and leaves everything else as it is."""

import importlib.util
import io
import logging
import subprocess
import sys
import textwrap
import traceback
import types
from collections import OrderedDict, defaultdict, deque, namedtuple
from pathlib import Path
from unittest import mock

import pytest

SOURCE = Path(__file__).parents[2] / "python" / "evergrant" / "_redact.py"
TOKEN = "ya29.a0AfH6SMBx-7Qz3w_kLmNoPqRs"
MASK = "[redacted]"


class Core(types.ModuleType):
    """Stands for the extension: finds `live` as they are, raises as it does for text that has no UTF-8."""

    def __init__(self):
        super().__init__("redact_under_test._core")
        self.live = {TOKEN}
        self.looked_at = []

    def has_live(self):
        return bool(self.live)

    def redact_text(self, text):
        assert type(text) is str
        text.encode()
        self.looked_at.append(text)
        masked = text
        for secret in self.live:
            masked = masked.replace(secret, MASK)
        return text if masked == text else masked


@pytest.fixture
def core(monkeypatch):
    core = Core()
    monkeypatch.setitem(sys.modules, "redact_under_test", types.ModuleType("redact_under_test"))
    monkeypatch.setitem(sys.modules, "redact_under_test._core", core)
    return core


@pytest.fixture
def module(core, monkeypatch):
    spec = importlib.util.spec_from_file_location("redact_under_test._redact", SOURCE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    yield module
    module.uninstall_log_redaction()


@pytest.fixture
def redact(module):
    return module.redact


Point = namedtuple("Point", "x y")  # noqa: PYI024 - users have both kinds


class Text(str):
    __slots__ = ()


class TestValues:
    @pytest.mark.parametrize(
        "value",
        [
            None,
            True,
            3,
            2.5,
            "text",
            "",
            "é\ud800",
            b"bytes",
            b"\xff\xfe",
            bytearray(b"array"),
            ("a", "b"),
            ["a", ["b"]],
            {"a": {"b": "c"}},
            {"a", "b"},
            frozenset({"a"}),
            Point("a", "b"),
            Text("text"),
            object(),
            deque(["a"]),
            ValueError("a"),
        ],
        ids=repr,
    )
    def test_a_value_without_a_secret_is_the_same_object(self, redact, value):
        assert redact(value) is value

    @pytest.mark.parametrize(
        ("value", "masked"),
        [
            (TOKEN, MASK),
            (f"Bearer {TOKEN}", f"Bearer {MASK}"),
            (f"\ud800 é {TOKEN}", f"\ud800 é {MASK}"),
            (TOKEN.encode(), MASK.encode()),
            (b"\xff" + TOKEN.encode(), b"\xff" + MASK.encode()),
            ("é" + TOKEN, "é" + MASK),
            (bytearray(TOKEN, "ascii"), bytearray(MASK, "ascii")),
            ((1, TOKEN), (1, MASK)),
            ([1, [TOKEN]], [1, [MASK]]),
            ({"a": {"b": TOKEN}}, {"a": {"b": MASK}}),
            ({TOKEN: 1, ("a", TOKEN): 2}, {MASK: 1, ("a", MASK): 2}),
            ({TOKEN, "b"}, {MASK, "b"}),
            (frozenset({TOKEN}), frozenset({MASK})),
            (Point(1, TOKEN), Point(1, MASK)),
            (Text(TOKEN), MASK),
            (OrderedDict(a=TOKEN), OrderedDict(a=MASK)),
        ],
        ids=repr,
    )
    def test_a_secret_is_masked_in_a_value_of_the_same_kind(self, redact, value, masked):
        answer = redact(value)
        assert answer == masked
        assert type(answer) is type(masked)

    def test_a_default_dictionary_keeps_its_default(self, redact):
        answer = redact(defaultdict(list, {"a": TOKEN}))
        assert answer == {"a": MASK}
        assert answer["b"] == []

    def test_what_holds_no_secret_inside_of_what_does_is_the_same_object(self, redact):
        clean = {"a": ["b"]}
        answer = redact([clean, TOKEN])
        assert answer == [clean, MASK]
        assert answer[0] is clean

    def test_the_callers_value_is_not_changed(self, redact):
        inner = [TOKEN]
        value = {"a": inner}
        redact(value)
        assert value == {"a": [TOKEN]}
        assert value["a"] is inner

    def test_a_cycle_stays_a_cycle(self, redact):
        value = {"token": TOKEN}
        value["self"] = [value]
        answer = redact(value)
        assert answer["token"] == MASK
        assert answer["self"][0] is answer

    def test_a_cycle_without_a_secret_is_the_same_object(self, redact):
        value = []
        value.append((value, {"a": value}))
        assert redact(value) is value

    def test_depth_alone_changes_nothing(self, redact):
        value = "clean"
        for _ in range(100_000):
            value = [value]
        assert redact(value) is value

    def test_a_part_that_is_too_deep_and_holds_a_secret_is_masked_whole(self, redact):
        value = TOKEN
        for _ in range(100_000):
            value = [value]
        answer = redact(value)
        for _ in range(100):
            (answer,) = answer
        assert answer == MASK

    def test_a_value_that_two_places_share_is_one_value_still(self, redact):
        shared = [TOKEN]
        answer = redact({"a": shared, "b": (shared,)})
        assert answer["a"] is answer["b"][0]

    def test_where_the_stack_is_nearly_used_up_a_secret_takes_the_whole_value_with_it(self, redact):
        value = [[[[[[[[TOKEN]]]]]]]]
        answers = []

        def descend():
            try:  # noqa: SIM105 - leaving a context manager needs stack
                descend()
            except RecursionError:
                pass
            answers.append(attempt())

        def attempt():
            try:
                return redact(value)
            except RecursionError:
                return None

        descend()
        assert MASK in answers
        assert [[[[[[[[MASK]]]]]]]] in answers
        assert all(answer in (None, MASK, [[[[[[[[MASK]]]]]]]]) for answer in answers)

    def test_objects_of_other_classes_are_left_alone(self, redact):
        holder = types.SimpleNamespace(token=TOKEN)
        assert redact(holder) is holder
        assert holder.token == TOKEN

    @pytest.mark.parametrize("kind", [str, bytes, dict, list, tuple, ValueError])
    def test_a_mock_is_left_alone_though_it_says_that_it_is_something_else(self, redact, kind):
        value = [mock.MagicMock(spec=kind), TOKEN]
        assert isinstance(value[0], kind)
        assert redact(value) == [value[0], MASK]

    def test_with_nothing_live_nothing_is_looked_at(self, core, redact):
        core.live.clear()
        value = [TOKEN]
        assert redact(value) is value
        assert core.looked_at == []


def raised(error, cause=None):
    try:
        try:
            raise error from cause
        except BaseException as first:
            raise LookupError("later") from first
    except LookupError as second:
        return second


class Custom(Exception):
    def __init__(self, first, *, url):
        super().__init__(first)
        self.url = url

    def __str__(self):
        return f"{self.args[0]} at {self.url}"


class Opaque(Exception):
    def __init__(self, holder):
        self.holder = holder

    def __str__(self):
        return self.holder.token


class Unread(Exception):
    @property
    def text(self):
        raise RuntimeError("not read yet")


class Sealed(Opaque):
    def __init_subclass__(cls):
        raise TypeError("no subclass")


def text_of(error):
    return "".join(traceback.format_exception(type(error), error, error.__traceback__))


class TestExceptions:
    def test_arguments_attributes_notes_and_the_whole_chain_are_masked_in_place(self, module):
        error = raised(Custom(TOKEN, url=f"https://a/?t={TOKEN}"), KeyError(TOKEN))
        error.__notes__ = [TOKEN]
        custom = error.__cause__
        assert module.redact_exception(error) is error
        assert error.__cause__ is custom
        assert custom.args == (MASK,)
        assert custom.url == f"https://a/?t={MASK}"
        assert custom.__cause__.args == (MASK,)
        assert error.__notes__ == [MASK]
        assert TOKEN not in text_of(error)

    def test_an_exception_without_a_secret_keeps_its_very_arguments(self, module):
        argument = ["clean"]
        error = ValueError(argument)
        assert module.redact_exception(error) is error
        assert error.args[0] is argument

    def test_a_chain_that_is_a_cycle_ends(self, module):
        first, second = ValueError(TOKEN), ValueError(TOKEN)
        first.__context__, second.__context__ = second, first
        module.redact_exception(first)
        assert second.args == (MASK,)

    @pytest.mark.parametrize(
        ("error", "shown"),
        [
            (OSError(2, "No such file", TOKEN), f"[Errno 2] No such file: '{MASK}'"),
            (OSError(2, TOKEN), f"[Errno 2] {MASK}"),
            (KeyError(TOKEN), f"'{MASK}'"),
            (SystemExit(TOKEN), MASK),
            (Custom(TOKEN, url=TOKEN), f"{MASK} at {MASK}"),
            (ImportError(TOKEN), MASK),
        ],
        ids=repr,
    )
    def test_the_exceptions_of_the_interpreter_read_masked_in_place_and_as_a_copy(self, module, error, shown):
        copy = module.redact(error)
        assert str(copy) == shown
        assert type(copy) is type(error)
        assert TOKEN in str(error)
        module.redact_exception(error)
        assert str(error) == shown
        assert getattr(error, "code", MASK) == MASK

    def test_a_copy_has_the_traceback_and_a_masked_chain_and_the_original_keeps_its_own(self, redact):
        error = raised(ValueError(TOKEN))
        copy = redact(error)
        assert copy is not error
        assert copy.__traceback__ is error.__traceback__
        assert copy.__cause__.args == (MASK,)
        assert error.__cause__.args == (TOKEN,)

    def test_a_copy_shows_the_context_that_the_original_shows(self, redact):
        error = ValueError(TOKEN)
        error.__context__ = KeyError("earlier")
        assert "KeyError: 'earlier'" in text_of(redact(error))
        error.__suppress_context__ = True
        assert "KeyError: 'earlier'" not in text_of(redact(error))

    def test_one_that_reads_from_what_is_not_looked_into_still_reads_masked_and_is_still_caught(self, module):
        error = Opaque(types.SimpleNamespace(token=TOKEN))
        copy = module.redact(error)
        assert (str(copy), str(error)) == (MASK, TOKEN)
        assert module.redact_exception(error) is error
        assert str(error) == MASK
        for one in (copy, error):
            assert isinstance(one, Opaque)
            assert type(one).__qualname__ == "Opaque"
            assert TOKEN not in text_of(one)

    def test_a_property_that_raises_does_not_matter(self, module):
        error = Unread(TOKEN)
        assert module.redact(error).args == (MASK,)
        assert module.redact_exception(error) is error
        assert error.args == (MASK,)

    def test_one_that_can_neither_be_copied_nor_extended_is_replaced_by_one_of_its_name(self, redact):
        copy = redact(Sealed(types.SimpleNamespace(token=TOKEN)))
        assert str(copy) == MASK
        assert type(copy).__qualname__ == "Sealed"
        assert not isinstance(copy, Sealed)

    def test_a_chain_that_is_too_deep_is_cut_in_a_copy_and_masked_in_place(self, module):
        first = last = ValueError("clean")
        for _ in range(2000):
            last.__context__ = ValueError(TOKEN)
            last = last.__context__
        assert TOKEN not in text_of(module.redact(first))
        module.redact_exception(first)
        assert last.args == (MASK,)

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with 3.11")
    def test_the_members_of_a_group_are_masked(self, module):
        group = ExceptionGroup("two", [ValueError(TOKEN), ExceptionGroup("in", [KeyError(TOKEN)])])  # noqa: F821
        copy = module.redact(group)
        assert TOKEN not in text_of(copy)
        assert copy.exceptions[0].args == (MASK,)
        assert group.exceptions[0].args == (TOKEN,)
        module.redact_exception(group)
        assert TOKEN not in text_of(group)

    @pytest.mark.skipif(sys.version_info < (3, 11), reason="groups came with 3.11")
    def test_the_message_of_a_group_is_masked_in_a_copy(self, module):
        group = ExceptionGroup(TOKEN, [ValueError("a")])  # noqa: F821
        for masked in (module.redact(group), module.redact_exception(group)):
            assert str(masked) == f"{MASK} (1 sub-exception)"
            assert masked.message == MASK
            assert type(masked) is type(group) is ExceptionGroup  # noqa: F821
            assert masked.__traceback__ is group.__traceback__


@pytest.fixture
def log(module):
    """A logger with a handler that formats, both unknown to the rest of the process."""
    module.install_log_redaction()
    logger = logging.Logger("test")
    logger.stream = io.StringIO()
    handler = logging.StreamHandler(logger.stream)
    logger.records = []
    handler.addFilter(lambda record: logger.records.append(record) or True)
    logger.addHandler(handler)
    return logger


class TestLogging:
    def test_a_message_is_masked(self, log):
        log.warning(f"got {TOKEN}")
        assert log.stream.getvalue() == f"got {MASK}\n"

    @pytest.mark.parametrize("argument", [TOKEN, Text(TOKEN), [TOKEN], types.SimpleNamespace(token=TOKEN)], ids=repr)
    def test_an_argument_of_any_type_is_masked(self, log, argument):
        log.warning("got %s", argument)
        assert MASK in log.stream.getvalue()
        assert TOKEN not in log.stream.getvalue()

    def test_a_record_without_a_secret_keeps_its_message_and_arguments(self, log):
        log.warning("got %s", "nothing")
        assert log.stream.getvalue() == "got nothing\n"
        assert (log.records[0].msg, log.records[0].args) == ("got %s", ("nothing",))

    def test_an_argument_that_the_message_does_not_show_is_masked(self, log):
        log.warning("got %.3s", TOKEN)
        assert log.records[0].args == (MASK,)

    def test_a_message_that_is_a_mapping_stays_one(self, log):
        log.warning({"event": TOKEN})
        assert log.records[0].msg == {"event": MASK}

    def test_extra_values_are_masked(self, log):
        log.warning("got", extra={"token": TOKEN, "headers": {"Authorization": f"Bearer {TOKEN}"}, "count": 1})
        record = log.records[0]
        assert (record.token, record.headers, record.count) == (MASK, {"Authorization": f"Bearer {MASK}"}, 1)

    def test_what_a_record_factory_adds_is_masked(self, module):
        plain = logging.getLogRecordFactory()

        def factory(*arguments, **keywords):
            record = plain(*arguments, **keywords)
            record.header = TOKEN
            return record

        logging.setLogRecordFactory(factory)
        try:
            module.install_log_redaction()
            logger, records = logging.Logger("factory"), []
            logger.addFilter(lambda record: records.append(record) or False)
            logger.warning("got")
        finally:
            logging.setLogRecordFactory(plain)
        assert records[0].header == MASK

    def test_a_filter_of_the_logger_sees_the_masked_record(self, log):
        seen = []
        log.addFilter(lambda record: seen.append(record.getMessage()) or True)
        log.warning(TOKEN)
        assert seen == [MASK]

    def test_an_exception_is_masked_in_the_record_and_not_in_the_program(self, log):
        try:
            raise ValueError(TOKEN) from KeyError(TOKEN)
        except ValueError as caught:
            log.exception("failed")
            error = caught
        assert error.args == (TOKEN,)
        assert error.__cause__.args == (TOKEN,)
        assert TOKEN not in log.stream.getvalue()
        assert f"ValueError: {MASK}" in log.stream.getvalue()
        kind, value, trace = log.records[0].exc_info
        assert (kind, value.args, value.__cause__.args) == (ValueError, (MASK,), (MASK,))
        assert trace is value.__traceback__

    def test_a_line_of_source_code_with_a_secret_is_masked(self, log, core):
        core.live.add("a-literal-in-the-source")
        try:
            raise ValueError("clean") if "a-literal-in-the-source" else None
        except ValueError:
            log.exception("failed")
        assert "a-literal-in-the-source" not in log.stream.getvalue()
        assert "ValueError: clean" in log.stream.getvalue()

    def test_an_exception_without_a_secret_is_formatted_by_the_handler(self, log):
        class OneLine(logging.Formatter):
            def formatException(self, info):  # noqa: N802 - the name in logging
                return repr(info[1])

        log.handlers[0].setFormatter(OneLine())
        try:
            raise ValueError("clean")
        except ValueError:
            log.exception("failed")
        assert log.stream.getvalue() == "failed\nValueError('clean')\n"

    def test_a_stack_is_masked(self, log, core):
        core.live.add("a-literal-in-the-stack")
        log.warning("here", stack_info="a-literal-in-the-stack")
        assert "a-literal-in-the-stack" not in log.stream.getvalue()
        assert MASK in log.stream.getvalue()

    def test_a_text_that_another_process_formatted_is_masked(self, log):
        record = {"msg": "failed", "levelno": logging.ERROR, "exc_text": f"ValueError: {TOKEN}"}
        log.handle(logging.makeLogRecord(record))
        assert log.stream.getvalue() == f"failed\nValueError: {MASK}\n"

    def test_a_format_that_does_not_fit_is_reported_by_logging_without_the_secret(self, log, capsys):
        log.warning("%d" + TOKEN, TOKEN)
        reported = capsys.readouterr().err
        assert "Logging error" in reported
        assert f"Message: '%d{MASK}'\nArguments: ('{MASK}',)" in reported

    def test_a_record_that_cannot_be_checked_is_logged_without_its_text(self, log, core, monkeypatch):
        def fail(text):
            raise RuntimeError(text)

        monkeypatch.setattr(sys.modules["redact_under_test._redact"], "redact_text", fail)
        log.warning("got %s", TOKEN, extra={"header": TOKEN})
        assert not hasattr(log.records[0], "header")
        assert log.stream.getvalue() == f"{MASK} (this record could not be checked: RuntimeError)\n"

    def test_the_line_that_logs_is_still_found(self, log):
        log.warning(TOKEN)
        assert log.records[0].funcName == "test_the_line_that_logs_is_still_found"

    def test_with_nothing_live_a_record_is_not_looked_at(self, log, core):
        core.live.clear()
        log.warning("got %s", TOKEN)
        assert core.looked_at == []

    def test_installing_twice_wraps_once_and_uninstalling_gives_the_method_back(self, module):
        original = logging.Logger.handle
        module.install_log_redaction()
        wrapped = logging.Logger.handle
        module.install_log_redaction("1")
        assert logging.Logger.handle is wrapped is not original
        module.uninstall_log_redaction()
        assert logging.Logger.handle is original

    def test_zero_switches_it_off(self, module):
        original = logging.Logger.handle
        module.install_log_redaction("0")
        assert logging.Logger.handle is original

    def test_one_that_wrapped_ours_meanwhile_keeps_working(self, module, log, monkeypatch):
        ours = logging.Logger.handle
        monkeypatch.setattr(logging.Logger, "handle", lambda self, record: ours(self, record))  # noqa: PLW0108
        module.uninstall_log_redaction()
        log.warning(TOKEN)
        module.install_log_redaction()
        log.warning(TOKEN)
        assert log.stream.getvalue() == f"{TOKEN}\n{MASK}\n"


class TestBeforeLogging:
    """In a process of their own, which has not imported logging."""

    BEGIN = f"""
        import sys, types
        sys.modules["package"] = package = types.ModuleType("package")
        package.__path__ = []
        sys.modules["package._core"] = core = types.ModuleType("package._core")
        core.has_live = lambda: True
        core.redact_text = lambda text: text.replace({TOKEN!r}, "[redacted]") if {TOKEN!r} in text else text
        before = set(sys.modules)
        finders = list(sys.meta_path)
        ours = types.ModuleType("package._redact")
        exec(compile(open({str(SOURCE)!r}).read(), {str(SOURCE)!r}, "exec"), ours.__dict__)
        sys.modules["package._redact"] = ours
        ours.install_log_redaction()
    """

    def run(self, body):
        program = textwrap.dedent(self.BEGIN) + textwrap.dedent(body)
        done = subprocess.run([sys.executable, "-S", "-E", "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done

    def test_installing_imports_nothing(self):
        assert self.run("print(set(sys.modules) - before)").stdout == "{'package._redact'}\n"

    def test_logging_that_is_imported_later_is_wrapped_and_nothing_stays_behind(self):
        done = self.run(f"""
            import logging.handlers
            assert sys.meta_path == finders
            assert type(logging.__loader__).__name__ == type(logging.__spec__.loader).__name__ == "SourceFileLoader"
            logging.warning("got %s", {TOKEN!r})
        """)
        assert done.stderr == f"WARNING:root:got {MASK}\n"

    def test_asking_where_logging_is_does_not_use_the_hook_up(self):
        done = self.run(f"""
            import importlib.util
            assert "logging" not in sys.modules
            assert importlib.util.find_spec("logging").origin.endswith("__init__.py")
            import logging
            logging.warning({TOKEN!r})
        """)
        assert done.stderr == f"WARNING:root:{MASK}\n"

    def test_uninstalling_takes_the_hook_away(self):
        done = self.run(f"""
            ours.uninstall_log_redaction()
            assert sys.meta_path == finders
            import logging
            logging.warning({TOKEN!r})
        """)
        assert done.stderr == f"WARNING:root:{TOKEN}\n"
