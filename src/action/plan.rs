//! What a run will call: the template, those that its steps name, and what only the caller can find.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::library::{Library, Source};
use super::steps;
use super::template::{Step, Template};
use super::yaml::Problem;
use crate::error::Result;

/// A template with all that it calls.
#[derive(Debug)]
pub struct Plan {
    /// The template that is run.
    pub root: Arc<Source>,
    /// The templates that steps name, by their names.
    pub templates: BTreeMap<String, Arc<Source>>,
    /// Actions that steps name and that are none of ours and no template: functions that the caller registered, or nothing.
    pub others: BTreeSet<String>,
}

/// Templates inside of each other.
const DEEPEST: usize = 20;

impl Plan {
    /// Finds all that `root` calls.
    ///
    /// # Errors
    /// `TemplateError`: a template calls itself by way of others, they are nested too deep, or one of them is wrong.
    pub fn of(root: Arc<Source>, library: &Library) -> Result<Self> {
        let mut plan = Self {
            root: Arc::clone(&root),
            templates: BTreeMap::new(),
            others: BTreeSet::new(),
        };
        plan.follow(&root, library, &mut vec![root.template.action.clone()])?;
        Ok(plan)
    }

    /// All its templates, the root first.
    pub fn sources(&self) -> impl Iterator<Item = &Arc<Source>> {
        std::iter::once(&self.root).chain(self.templates.values())
    }

    /// The error for a step whose action nobody knows; `nearest` is one that is known.
    pub fn unknown(&self, action: &str) -> crate::error::Error {
        let of = |source: &Arc<Source>| {
            let steps = &source.template.steps;
            let step = steps.iter().find(|step| step.action == action)?;
            Some((Arc::clone(source), step.action_at))
        };
        let nearest = steps::nearest(action).map(|known| format!("; did you mean {known}?"));
        let message = format!("there is no action {action}{}", nearest.unwrap_or_default());
        match self.sources().find_map(of) {
            Some((source, at)) => source.error("unknown_action", &Problem::new(at, message)),
            None => crate::error::Error::action("unknown_action", message),
        }
    }

    fn follow(
        &mut self,
        source: &Source,
        library: &Library,
        above: &mut Vec<String>,
    ) -> Result<()> {
        let Template { steps, .. } = &source.template;
        for step in steps {
            let Step {
                action, action_at, ..
            } = step;
            if steps::is_ours(action) || self.others.contains(action) {
                continue;
            }
            let wrong = |message: String| {
                Err(source.error("nested_too_deep", &Problem::new(*action_at, message)))
            };
            if let Some(start) = above.iter().position(|name| name == action) {
                let cycle = above[start..].join(" calls ");
                return wrong(format!("{cycle} calls {action}: that would never end"));
            }
            if above.len() >= DEEPEST {
                return wrong(format!(
                    "more than {DEEPEST} templates inside of each other"
                ));
            }
            if self.templates.contains_key(action) {
                continue;
            }
            let Some(found) = library.find(action)? else {
                self.others.insert(action.clone());
                continue;
            };
            self.templates.insert(action.clone(), Arc::clone(&found));
            above.push(action.clone());
            self.follow(&found, library, above)?;
            above.pop();
        }
        Ok(())
    }
}
