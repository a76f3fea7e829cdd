//! What names stand for: the service's answers, remembered.

use std::{
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use patchbay_plugin::{ErrorClass, PluginError};

use crate::{
    client::{AskError, Client},
    models::KnownName,
};

/// A glossary service behind a memory of its answers.
#[derive(Debug)]
pub(crate) struct Glossary {
    client: Client,
    /// Answers by name in lower case; `None` = the service does not know it.
    answers: Mutex<HashMap<String, Option<String>>>,
    answers_max: usize,
    /// Whether the service was away when it was asked last.
    away: AtomicBool,
}

/// What is worth a line in the log: not every question, but every change.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The service does not answer any more, and why.
    Away(String),
    /// It answers again.
    Back,
}

// === impl Glossary ===

impl Glossary {
    /// Remembers up to `answers_max` answers; one more, and it starts anew.
    pub(crate) fn new(client: Client, answers_max: usize) -> Glossary {
        let (answers, away) = (Mutex::default(), AtomicBool::new(false));
        Glossary { client, answers, answers_max, away }
    }

    /// Those of the names that the glossary knows. `tell` hears when the service goes and comes.
    ///
    /// # Errors
    /// The first question that stays without an answer.
    ///
    /// # Cancel safety
    /// What was answered until then is remembered.
    pub(crate) async fn look_up(
        &self,
        names: &[String],
        tell: impl Fn(News),
    ) -> Result<Vec<KnownName>, AskError> {
        let mut known = Vec::new();
        for name in names {
            let meaning = match self.recall(name) {
                Some(answer) => answer,
                None => {
                    let answer = self.client.ask(name).await;
                    self.news(answer.as_ref().err()).map(&tell);
                    self.remember(name, answer?)
                }
            };
            known.extend(meaning.map(|meaning| KnownName { name: name.clone(), meaning }));
        }
        Ok(known)
    }

    /// Whether the outcome of a question says something new about the service.
    fn news(&self, error: Option<&AskError>) -> Option<News> {
        let error = error.filter(|error| error.is_away());
        let was_away = self.away.swap(error.is_some(), Ordering::Relaxed);
        match (was_away, error) {
            (false, Some(error)) => {
                let why = PluginError::from_error(ErrorClass::Transient, error);
                Some(News::Away(why.to_string()))
            }
            (true, None) => Some(News::Back),
            _ => None,
        }
    }

    /// Forgets all answers.
    pub(crate) fn forget(&self) {
        self.answers().clear();
    }

    /// How many answers are remembered.
    pub(crate) fn remembered(&self) -> usize {
        self.answers().len()
    }

    fn recall(&self, name: &str) -> Option<Option<String>> {
        self.answers().get(&name.to_lowercase()).cloned()
    }

    fn remember(&self, name: &str, answer: Option<String>) -> Option<String> {
        let mut answers = self.answers();
        if answers.len() >= self.answers_max {
            answers.clear();
        }
        answers.insert(name.to_lowercase(), answer.clone());
        answer
    }

    /// A panic elsewhere leaves no half-made entry behind, so a poisoned lock is as good as any.
    fn answers(&self) -> MutexGuard<'_, HashMap<String, Option<String>>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, time::Duration};

    use super::*;

    fn glossary(answers_max: usize) -> Glossary {
        // A port that was free a moment ago: only what is remembered can be answered.
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let client = Client::new(&format!("http://{at}"), Duration::from_secs(10)).unwrap();
        Glossary::new(client, answers_max)
    }

    fn look_up(glossary: &Glossary, name: &str) -> Result<Vec<KnownName>, AskError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(glossary.look_up(&[name.to_owned()], |_| {}))
    }

    #[test]
    fn an_answer_is_asked_for_once() {
        let glossary = glossary(9);
        glossary.remember("Eagle", Some("the lunar module".to_owned()));
        let known = look_up(&glossary, "EAGLE").unwrap();
        assert_eq!(known[0].name, "EAGLE");
        assert_eq!(known[0].meaning, "the lunar module");
    }

    #[test]
    fn that_a_name_is_unknown_is_remembered_too() {
        let glossary = glossary(9);
        glossary.remember("Roger", None);
        assert!(look_up(&glossary, "Roger").unwrap().is_empty());
    }

    #[test]
    fn what_is_forgotten_is_asked_for_again() {
        let glossary = glossary(9);
        glossary.remember("Roger", None);
        glossary.forget();
        assert!(look_up(&glossary, "Roger").unwrap_err().is_away());
    }

    #[test]
    fn only_a_change_is_news() {
        let glossary = glossary(9);
        let away = look_up(&glossary, "Roger").unwrap_err();
        assert_eq!(glossary.news(Some(&away)), None, "it was away when it was asked");
        glossary.remember("Eagle", None);
        look_up(&glossary, "Eagle").unwrap();
        assert_eq!(glossary.news(Some(&away)), None, "nobody has asked it meanwhile");
        assert_eq!(glossary.news(None), Some(News::Back));
        assert_eq!(glossary.news(None), None);
        assert!(
            matches!(glossary.news(Some(&away)), Some(News::Away(why)) if why.contains("connect"))
        );
    }

    #[test]
    fn memory_is_bounded() {
        let glossary = glossary(2);
        for name in ["a", "b", "c"] {
            glossary.remember(name, None);
        }
        assert_eq!(glossary.remembered(), 1);
    }
}
