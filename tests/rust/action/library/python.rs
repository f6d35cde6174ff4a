//! Python for the lambdas and scripts of the library: one interpreter for a test.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::Mutex;

use _core::action::run::{Answer, PythonStep};
use _core::action::value::json::{Layout, read, write};
use _core::action::value::{Key, Mapping, Value};
use serde_json::json;

/// Reads what is to be evaluated, line by line, and answers each with its value or with what it raised.
const PROGRAM: &str = "\
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    try:
        if 'lambda' in asked:
            value = eval(asked['lambda'])(*asked['values'])
        else:
            names = {}
            exec(asked['script'], names)
            value = names['main'](**asked['inputs'])
        said = {'value': value}
    except Exception as error:
        said = {'failed': f'{type(error).__name__}: {error}'}
    print(json.dumps(said), flush=True)
";

/// An interpreter that waits for what it shall evaluate.
pub(super) struct Python(Mutex<(Child, BufReader<ChildStdout>)>);

impl Python {
    pub(super) fn start() -> Self {
        let mut child = Command::new("python3")
            .args(["-I", "-c", PROGRAM])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is there: it builds the package, too");
        let output = BufReader::new(child.stdout.take().unwrap());
        Self(Mutex::new((child, output)))
    }

    /// What a step of a template comes to.
    pub(super) fn answer(&self, step: &PythonStep) -> Answer {
        let asked = match step {
            PythonStep::Lambda { source, values } => {
                json!({"lambda": source, "values": json(&Value::list(values.clone()))})
            }
            PythonStep::Script { arguments } => {
                let member = |name: &str| json(arguments.get(&Key::from(name)).unwrap());
                json!({"script": member("script"), "inputs": member("inputs")})
            }
            other => panic!("no template of the library asks for {other:?}"),
        };
        let mut child = self.0.lock().unwrap();
        let (child, output) = &mut *child;
        writeln!(child.stdin.as_mut().unwrap(), "{asked}").unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        match read(&line).unwrap() {
            Value::Mapping(said) => answer(&said),
            other => panic!("{other:?}"),
        }
    }
}

fn answer(said: &Mapping) -> Answer {
    match said.get(&Key::from("failed")) {
        Some(Value::Text(why)) => Answer::Failed(why.to_string()),
        _ => Answer::Value(said.get(&Key::from("value")).unwrap().clone()),
    }
}

fn json(value: &Value) -> serde_json::Value {
    serde_json::from_str(&write(value, Layout::Compact)).unwrap()
}

impl Drop for Python {
    fn drop(&mut self) {
        let (child, _) = &mut *self.0.lock().unwrap();
        drop(child.stdin.take());
        // Without input it ends by itself; there is nothing left to ask it.
        let _ = child.wait();
    }
}
