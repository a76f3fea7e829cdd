//! What does not compile, and says why.

#[test]
fn mistakes_of_an_author_are_errors_of_the_compiler() {
    let cases = trybuild::TestCases::new();
    cases.compile_fail("tests/compile_fail/*.rs");
    // Nothing that compiles is among them: then it is all checked only, and no code is made.
}
