//! Why an action that does nothing to a series nearly does something.

use pipeline::{Series, near_label};

use crate::config::Action;
use crate::parts;

/// In words, for a series `before` all actions and as it is `now`, when the action's turn has come.
pub(crate) fn near_miss(action: &Action, before: &Series, now: &Series) -> Option<String> {
    let (_, r#match) = parts(action);
    if !r#match.is_match(now) {
        if r#match.is_match(before) {
            return Some(changed_above(before, now));
        }
        return r#match.near_miss(now);
    }
    let label = match action {
        Action::Rename(it) => Some(&it.label),
        Action::Delete(it) => Some(&it.label),
        Action::Extract(it) => it.label.as_ref(),
        Action::Map(it) => it.label.as_ref(),
        Action::Replace(it) => it.label.as_ref(),
        Action::Set(_) | Action::Keep(_) | Action::Drop(_) | Action::Name(_) => None,
    };
    let texts = label.map(|label| (before.attributes.get(label), now.attributes.get(label)));
    match (label, texts) {
        (None, _) if before.name != now.name => Some(changed_above(before, now)),
        (Some(label), Some((Some(_), None))) => {
            Some(format!("an action above takes the label `{label}` away"))
        }
        (Some(label), Some((None, None))) => near_label(label, now),
        (Some(label), Some((Some(before), Some(now)))) if before != now => Some(format!(
            "an action above makes `{now}` of the label `{label}`, which was `{before}`"
        )),
        _ => None,
    }
}

fn changed_above(before: &Series, now: &Series) -> String {
    if before.name == now.name {
        return format!("an action above changes the labels of `{}`", now.name);
    }
    let (before, now) = (&before.name, &now.name);
    format!("an action above makes `{now}` of the name `{before}`")
}
