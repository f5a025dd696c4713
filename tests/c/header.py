#!/usr/bin/env python3
"""Reads cosign.h as data, for the checks that must cover every function in it.

header.py HEADER symbols   the declared functions, sorted
header.py HEADER lint      what the comments must say of each function; prints the number of functions checked
header.py HEADER sweep     a C program that calls each function with every NULL, bad text and foreign object
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field


CALLBACKS = ("cosign_password_cb", "cosign_finalizer", "cosign_reference_cb", "cosign_result_cb", "cosign_read_cb")


@dataclass
class Parameter:
    type: str
    name: str
    doc: str = ""

    @property
    def is_out(self) -> bool:
        return self.type.endswith("**")

    @property
    def object(self) -> str | None:
        """The opaque type that this parameter borrows."""
        found = re.fullmatch(r"(?:const )?(cosign_\w+) \*", self.type)
        return found[1] if found else None

    @property
    def is_pointer(self) -> bool:
        return "*" in self.type or self.type in CALLBACKS

    @property
    def is_required(self) -> bool:
        return "required" in self.doc


@dataclass
class Function:
    result: str
    name: str
    doc: str
    must_use: bool
    parameters: list[Parameter] = field(default_factory=list)

    @property
    def is_fallible(self) -> bool:
        return bool(self.parameters) and self.parameters[-1].type == "cosign_error **"

    @property
    def byte_strings(self) -> list[tuple[str, str]]:
        """The names of bytes and of their length."""
        pairs = zip(self.parameters, self.parameters[1:])
        return [(data.name, length.name) for data, length in pairs if data.type == "const void *"]

    @property
    def builder(self) -> str | None:
        """The builder that this function is a setter of."""
        if self.result == "void" and len(self.parameters) > 1 and not self.parameters[0].type.startswith("const"):
            return self.parameters[0].object
        return None


def parse(text: str) -> list[Function]:
    functions = []
    pattern = re.compile(r"/\*\*((?:(?!\*/).)*)\*/\s*COSIGN_API\s+(COSIGN_MUST_USE\s+)?([^;]*?)\b(cosign_\w+)\(([^;]*)\);", re.S)
    for doc, must_use, result, name, parameters in pattern.findall(text):
        doc = re.sub(r"\n \* ?", "\n", doc).strip()
        docs = dict(re.findall(r"@param (\w+)\s+(.*?)(?=@param|@return|@since|\Z)", doc, re.S))
        function = Function(" ".join(result.split()), name, doc, bool(must_use))
        for parameter in parameters.split(","):
            parameter = " ".join(parameter.split())
            if parameter != "void":
                kind, own = re.fullmatch(r"(.*?)(\w+)", parameter).groups()
                function.parameters.append(Parameter(kind.strip(), own, " ".join(docs.get(own, "").split())))
        functions.append(function)
    return functions


def lint(text: str, functions: list[Function]) -> list[str]:
    errors = []
    allowed = re.compile(
        r"(const )?(char|void|cosign_\w+) \*|const char \*const \*|cosign_\w+ \*\*|size_t \*|cosign_code"
        rf"|{'|'.join(CALLBACKS)}|void|int32_t|uint32_t|uint64_t|size_t"
    )
    if text.count("COSIGN_API ") + text.count("COSIGN_API\n") < len(functions):
        errors.append("functions were lost while reading")
    for word in set(re.findall(r"^#define (\w+)", text, re.M)):
        if not word.startswith("COSIGN_"):
            errors.append(f"the macro {word} has no prefix")
    for word in ("enum", "union", "bool", "..."):
        if re.search(rf"(^|\W){re.escape(word)}\W[^*]*;", re.sub(r"/\*.*?\*/", "", text, flags=re.S)):
            errors.append(f"{word} in the header")
    for f in functions:
        def say(what: str, f: Function = f) -> None:
            errors.append(f"{f.name}: {what}")

        if "@since " not in f.doc:
            say("no @since")
        if not re.search(r"[Tt]hread", f.doc):
            say("nothing about threads")
        if f.result != "void" and "@return" not in f.doc and "\n@return" not in f.doc:
            say("no @return")
        if f.is_fallible and not (f.must_use and f.result == "cosign_code"):
            say("can fail but is not COSIGN_MUST_USE cosign_code")
        if not f.is_fallible and f.must_use:
            say("COSIGN_MUST_USE on a function that cannot fail")
        returned = f.doc.partition("@return")[2]
        if "*" in f.result:
            word = "borrowed" if f.result.startswith("const") else "owned"
            if word not in returned:
                say(f"the result is {word}, and the comment does not say so")
            if "never NULL" not in returned:
                say("does not say whether the result may be NULL")
        for p in [*f.parameters, Parameter(f.result, "the result", "-")]:
            if not allowed.fullmatch(p.type):
                say(f"{p.name} has the type {p.type}")
            if not p.doc:
                say(f"no @param {p.name}")
            elif p.name != "the result" and p.is_pointer and not re.search("NULL|required", p.doc):
                say(f"@param {p.name} does not say what NULL does")
            if p.is_out and "owned: cosign_" not in p.doc:
                say(f"@param {p.name} does not say how to free it")
    declared = set(re.findall(r"\b(cosign_\w+)\(", re.sub(r"/\*.*?\*/", "", text, flags=re.S)))
    for missing in declared - {f.name for f in functions}:
        errors.append(f"{missing} has no comment")
    return errors


MAKERS = {
    "cosign_error": "cosign_private_key_generate(\"nothing\", &make_key, &made) ? made : NULL",
    "cosign_buffer": "cosign_public_key_to_pem(a_public_key, &made, NULL) ? NULL : made",
    "cosign_private_key": "cosign_private_key_generate(NULL, &made, NULL) ? NULL : made",
    "cosign_public_key": "cosign_private_key_public(a_key, &made, NULL) ? NULL : made",
    "cosign_client": "cosign_client_new(NULL, &made, NULL) ? NULL : made",
    "cosign_signed": "cosign_sign_image(a_client, layout, a_key, NULL, NULL, &made, NULL) ? NULL : made",
    "cosign_verification": "cosign_verify_image(a_client, layout, a_policy, NULL, &made, NULL) ? NULL : made",
}

PRELUDE = r"""
#include <cosign.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures, calls;
static unsigned finalized;
static const char *layout;
static cosign_private_key *a_key;
static cosign_public_key *a_public_key;
static cosign_client *a_client;
static cosign_policy *a_policy;

static cosign_code answer(cosign_secret *out, const char *prompt, uint32_t attempt, void *user_data)
{
    (void)prompt; (void)attempt; (void)user_data;
    cosign_secret_set(out, "pw", 2);
    return COSIGN_OK;
}
static cosign_code next(const char **reference, void *user_data)
{
    static int asked;
    (void)user_data;
    *reference = asked++ % 2 ? NULL : layout;
    return COSIGN_OK;
}
static cosign_code result(uint64_t index, const char *reference, const cosign_verification *verification, const cosign_error *error, void *user_data)
{
    (void)index; (void)reference; (void)user_data;
    return (verification == NULL) == (error != NULL) ? COSIGN_OK : COSIGN_ERR_CANCELLED;
}
static cosign_code nothing_more(void *buffer, size_t size, size_t *read, void *user_data)
{
    (void)buffer; (void)size; (void)user_data;
    *read = 0;
    return COSIGN_OK;
}
static void done(void *user_data) { (void)user_data; finalized++; }
static void expect(int good, const char *what)
{
    calls++;
    if (!good) { failures++; printf("FAIL %s\n", what); }
}
"""


def c_type(kind: str) -> str:
    return kind.replace("const ", "")


def sweep(functions: list[Function]) -> str:
    out = [PRELUDE]
    for kind, maker in MAKERS.items():
        extra = "cosign_private_key *make_key = NULL; " if "make_key" in maker else ""
        out.append(f"static {kind} *make_{kind}(void) {{ {kind} *made = NULL; {extra}return {maker}; }}")
    for kind in ("cosign_call", "cosign_policy", "cosign_sign_options", "cosign_verify_options", "cosign_batch_options", "cosign_client_options",
                 "cosign_verify_blob_options"):
        body = "cosign_call_set_password_cb(made, answer, NULL, NULL); " if kind == "cosign_call" else ""
        if kind == "cosign_policy":
            body = "cosign_policy_add_key(made, a_public_key); "
        out.append(f"static {kind} *make_{kind}(void) {{ {kind} *made = {kind}_new(); {body}return made; }}")

    tests = []
    for f in functions:
        # A callback's own object exists only inside the callback, and what is freed is freed at the end of each test.
        if any(p.object == "cosign_secret" for p in f.parameters) or (f.name.endswith("_free")):
            tests.append(f"    {f.name}({', '.join('NULL' if p.is_pointer else '1' for p in f.parameters)}); calls++;")
            continue
        cases: list[tuple[str, dict[str, str], str | None]] = [("as meant", {}, None)]
        pointers = [p for p in f.parameters if p.is_pointer]
        nothing = {p.name: "NULL" for p in pointers} | {length: "0" for _, length in f.byte_strings}
        cases.append(("all NULL", nothing, "any" if f.is_fallible else None))
        for p in pointers:
            expected = "100" if p.is_required else None
            cases.append((f"{p.name} NULL", {p.name: "NULL"}, expected))
            if p.type == "const char *":
                cases.append((f"{p.name} not UTF-8", {p.name: '"\\xff\\xfe"'}, "101"))
            if p.object:
                other = "cosign_buffer" if p.object != "cosign_buffer" else "cosign_error"
                cases.append((f"{p.name} of another type", {p.name: f"(void *)foreign_{other}"}, "100"))
        for data, length in f.byte_strings:
            cases.append((f"{length} SIZE_MAX", {length: "(size_t)-1"}, "100"))
            # Nothing is a blob like any other, and no key.
            empty = any(p.name == data and "is the empty one" in p.doc for p in f.parameters)
            refused = "any" if f.is_fallible and not empty else None
            cases.append((f"{data} NULL, {length} 0", {data: "NULL", length: "0"}, refused))
        for label, replaced, expected in cases:
            tests.append(case(f, label, replaced, expected))
    out.append("static void sweep(void)\n{\n    cosign_buffer *foreign_cosign_buffer = make_cosign_buffer();")
    out.append("    cosign_error *foreign_cosign_error = make_cosign_error();")
    out.extend(tests)
    out.append("    cosign_buffer_free(foreign_cosign_buffer); cosign_error_free(foreign_cosign_error);\n}")
    out.append(r"""
int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    layout = argv[1];
    a_key = make_cosign_private_key();
    a_public_key = make_cosign_public_key();
    a_client = make_cosign_client();
    a_policy = make_cosign_policy();
    if (cosign_sign_image(a_client, layout, a_key, NULL, NULL, NULL, NULL)) { printf("FAIL no signed layout\n"); return 1; }
    sweep();
    cosign_policy_free(a_policy); cosign_client_free(a_client);
    cosign_public_key_free(a_public_key); cosign_private_key_free(a_key);
    printf("%d calls checked, %d failed\n", calls, failures);
    return failures != 0;
}
""")
    return "\n".join(out)


TEXTS = {
    "reference": "layout",
    "algorithm": '"ecdsa-p256"',
    "format": '"sigstore"',
    "host": '"registry.example"',
    "registry": '"registry.example"',
    "https": '"http://proxy.example:3128"',
    "http": '"http://proxy.example:3128"',
    "suffix": '".cosign"',
    "form": '"bundle"',
    "hash": '"sha256"',
}


def case(f: Function, label: str, replaced: dict[str, str], expected: str | None) -> str:
    before, after, arguments = [], [], []
    for p in f.parameters:
        if p.object and p.object != "cosign_secret":
            before.append(f"{p.object} *{p.name} = make_{p.object}();")
            after.append(f"{p.object}_free({p.name});")
            value = p.name
        elif p.is_out:
            kind = p.type.removesuffix(" **")
            # Not NULL before: the library must clear it without reading it.
            before.append(f"{kind} *{p.name} = ({kind} *)(void *)&calls;")
            after.append(f"if ({p.name} != ({kind} *)(void *)&calls) {kind}_free({p.name});")
            value = f"&{p.name}"
        else:
            value = {
                "const char *": '"bundle"' if f.name.endswith("_options_set_format") else TEXTS.get(p.name, '"x"'),
                "const void *": '"x"',
                "cosign_password_cb": "answer",
                "cosign_read_cb": "nothing_more",
                "cosign_finalizer": "done",
                "cosign_reference_cb": "next",
                "cosign_result_cb": "result",
                "const char *const *": "&layout",
                "void *": "NULL",
                "size_t *": f"&{p.name}",
            }.get(p.type, "1")
            if p.type == "size_t *":
                before.append(f"size_t {p.name} = 7;")
        arguments.append(replaced.get(p.name, value))
    what = f'"{f.name}: {label}"'.replace("\\", "\\\\")
    call = f"{f.name}({', '.join(arguments)})"
    unused = " ".join(f"(void){p.name};" for p in f.parameters if p.is_out or p.type == "size_t *" or (p.object and p.name in replaced))
    checks = []
    if f.is_fallible:
        call = f"cosign_code code = {call};"
        if expected == "any":
            checks.append(f"expect(code != COSIGN_OK, {what});")
        elif expected:
            checks.append(f"expect(code == {expected}, {what});")
        else:
            checks.append("(void)code; calls++;")
        for p in f.parameters:
            if p.is_out and p.name not in replaced:
                if p.name == "err":
                    checks.append(f'expect((code == COSIGN_OK) == (err == NULL) && cosign_error_code(err) == code, {what} " (err)");')
                else:
                    checks.append(f'expect((code == COSIGN_OK) == ({p.name} != NULL), {what} " ({p.name})");')
    else:
        # A neutral answer, never a NULL text.
        if f.result == "const char *":
            call = f"expect({call} != NULL, {what});"
        elif f.result.startswith("cosign_") and f.result.endswith(" *"):
            free = f"{f.result.removesuffix(' *')}_free"
            call = f"{{ {f.result}made = {call}; expect(made != NULL, {what}); {free}(made); }}"
        else:
            call = f"{'(void)' if f.result != 'void' else ''}{call}; calls++;"
        own = f.parameters[0].name if f.parameters else ""
        consumer = {
            "cosign_client_options": f"cosign_client_new({own}, &used, &why)",
            "cosign_policy": f"cosign_verify_image(a_client, layout, {own}, NULL, &used, &why)",
            "cosign_sign_options": f"cosign_sign_image(a_client, layout, a_key, {own}, NULL, &used, &why)",
            "cosign_batch_options": f"cosign_verify_images(a_client, &layout, 1, a_policy, NULL, {own}, NULL, result, NULL, &why)",
            "cosign_verify_blob_options": f'cosign_verify_blob_buffer("x", 1, a_policy, {own}, NULL, &used, &why)',
            "cosign_verify_options": f"cosign_verify_image_with(a_client, layout, a_policy, {own}, NULL, &used, &why)",
        }.get(f.builder or "")
        if consumer and expected in ("100", "101") and own not in replaced:
            kind = {"cosign_client_new": "cosign_client", "cosign_sign_image": "cosign_signed"}.get(
                consumer.partition("(")[0], "cosign_verification"
            )
            checks.append(
                f"{{ {kind} *used = NULL; cosign_error *why = NULL; cosign_code code = {consumer};"
                f' expect(code == {expected} && used == NULL && strstr(cosign_error_message(why), "{f.name}") != NULL,'
                f' {what} " (kept)"); cosign_error_free(why); }}'
            )
    return "    { " + " ".join([*before, call, *checks, *after, unused]) + " }"


def main() -> int:
    path, verb = sys.argv[1:]
    with open(path, encoding="ascii") as file:
        text = file.read()
    functions = parse(text)
    if verb == "symbols":
        print("\n".join(sorted(f.name for f in functions)))
    elif verb == "sweep":
        print(sweep(functions))
    else:
        errors = lint(text, functions)
        print(*errors, sep="\n", end="\n" if errors else "")
        print(f"{len(functions)} functions, {len(errors)} omissions")
        return bool(errors) or not functions
    return 0


if __name__ == "__main__":
    sys.exit(main())
