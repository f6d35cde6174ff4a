//! Templates that call each other in a circle.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Templates;
use super::check::{Check, shown};

/// For each template that calls itself by way of others, the shortest way back to it: the names after its own.
pub(super) type Cycles<'a> = BTreeMap<&'a str, Vec<&'a str>>;

/// Finds the templates that call themselves by way of others.
pub(super) fn find<'a>(templates: &Templates<'a>) -> Cycles<'a> {
    let ways = templates
        .keys()
        .filter_map(|name| way_back(name, templates).map(|way| (*name, way)));
    ways.collect()
}

fn way_back<'a>(name: &'a str, templates: &Templates<'a>) -> Option<Vec<&'a str>> {
    let mut from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = VecDeque::from([name]);
    while let Some(current) = queue.pop_front() {
        let Some((_, template)) = templates.get(current) else {
            continue;
        };
        let called = template.steps.iter().map(|step| step.action.as_str());
        for action in called.collect::<BTreeSet<_>>() {
            if action == name {
                let mut way = vec![name];
                let mut at = current;
                while at != name {
                    way.push(at);
                    at = from[at];
                }
                way.reverse();
                // A template that names itself is told of that already.
                return (way.len() > 1).then_some(way);
            }
            if templates.contains_key(action) && !from.contains_key(action) {
                from.insert(action, current);
                queue.push_back(action);
            }
        }
    }
    None
}

impl Check<'_> {
    /// Names that are taken, and calls that lead back to where they began.
    pub(super) fn names(&mut self, templates: &Templates<'_>, cycles: &Cycles<'_>) {
        let Some((path, _)) = templates.get(self.template.action.as_str()) else {
            return;
        };
        let definition = self.document.root.get("definition");
        if *path != self.path {
            let at = definition
                .and_then(|definition| definition.get("name"))
                .map_or(self.document.root.at, |name| name.at);
            let message = format!(
                "{} has the name {}, too",
                path.display(),
                shown(&self.template.action)
            );
            return self.error(at, message, None);
        }
        let Some(way) = cycles.get(self.template.action.as_str()) else {
            return;
        };
        let template = self.template;
        let steps = &template.steps;
        if let Some(step) = steps
            .iter()
            .find(|step| Some(&step.action.as_str()) == way.first())
        {
            let way = Vec::from_iter(way.iter().map(|name| shown(name)));
            let message = format!(
                "{} calls {}: that would never end",
                shown(&self.template.action),
                way.join(", which calls ")
            );
            self.error(step.action_at, message, None);
        }
    }
}
