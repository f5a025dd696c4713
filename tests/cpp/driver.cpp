// Drives cosign.hpp on a layout: driver IMAGE_FOLDER EMPTY_FOLDER. Prints each test and a closing count.
#include <cosign.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <type_traits>
#include <vector>

namespace fs = std::filesystem;

namespace {

int passed = 0, failed = 0;
fs::path source, work;

struct failure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

#define CHECK(condition) \
  do {                   \
    if (!(condition)) throw failure(std::string("line ") + std::to_string(__LINE__) + ": " #condition); \
  } while (0)

void test(const char *name, const std::function<void()> &body) {
  try {
    body();
    ++passed;
    std::cout << "ok   " << name << '\n';
  } catch (const std::exception &e) {
    ++failed;
    std::cout << "FAIL " << name << ": " << e.what() << '\n';
  }
}

// A fresh copy of the image; the reference to it.
std::string image() {
  static int number = 0;
  fs::path copy = work / ("image" + std::to_string(number++));
  fs::copy(source, copy, fs::copy_options::recursive);
  return "oci:" + copy.string() + ":v1";
}

cosign_code code_of(const std::function<void()> &body) {
  try {
    body();
  } catch (const cosign::error &e) {
    CHECK(std::string(e.what()).size() > 0);
    CHECK(e.json().front() == '{');
    return e.code();
  }
  return COSIGN_OK;
}

const std::string digest = "sha256:ea9afc656d4fdc1d3b6adcc5e9e0afe2f52bf239f37ecd2d0e40628a78614c82";

cosign::policy accepting(const cosign::private_key &key) { return cosign::policy().add_key(key.public_key()); }

}  // namespace

static_assert(!std::is_copy_constructible_v<cosign::private_key> && std::is_move_constructible_v<cosign::private_key>);
static_assert(!std::is_default_constructible_v<cosign::verification>, "only client::verify makes one");
static_assert(!std::is_default_constructible_v<cosign::signed_image>, "only client::sign makes one");

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  source = argv[1];
  work = argv[2];

  test("signs and verifies", [] {
    std::string at = image();
    auto key = cosign::private_key::generate();
    cosign::client client;
    cosign::signed_image done = client.sign(at, key);
    CHECK(done.digest() == digest && done.reference().find("@" + digest) != std::string::npos);
    CHECK(done.status() == "stored" && done.reason().empty() && done.added() && !done.layout_needs_name());
    cosign::verification v = client.verify(at, accepting(key));
    CHECK(v.digest() == digest && v.count() == 1);
    CHECK(v.reference().find("@" + digest) != std::string::npos);
    CHECK(v.payload(0).find(digest) != std::string::npos);
    CHECK(v.json().find("verified") != std::string::npos);
    CHECK(client.resolve(at).find("@" + digest) != std::string::npos);
    bool out_of_range = false;
    try {
      (void)v.payload(1);
    } catch (const std::out_of_range &) {
      out_of_range = true;
    }
    CHECK(out_of_range);
  });

  test("what is generated is signed elsewhere, attached, downloaded and listed", [] {
    std::string at = image();
    auto key = cosign::private_key::generate();
    cosign::client client;
    auto options = cosign::sign_options().add_annotation("a", "1");
    std::string payload = client.generate(at, options);
    cosign::detached_signature made = client.sign_detached(at, key, options);
    CHECK(made.payload == payload && payload.find(digest) != std::string::npos);
    CHECK(client.attach_signature(at, made.signature, cosign::sign_options().payload(payload)).added());
    CHECK(!client.attach_signature(at, made.signature, options).added());
    CHECK(client.verify(at, accepting(key).require_annotation("a", "1")).payload(0) == payload);
    client.sign(at, key, cosign::sign_options().tag_suffix(".cosign").payload_form("2021"));
    CHECK(client.download(at, "legacy").find("\"RFC3161Timestamp\":null}\n") != std::string::npos);
    CHECK(client.download(at, "both", ".cosign", true).find("{\"Base64Signature\":\"") == 0);
    CHECK(client.triangulate(at, ".cosign").find(".cosign") != std::string::npos);
    CHECK(client.tree(at).find("signatures-2021") != std::string::npos);
    CHECK(client.doctor(at).find("cosign of 2021") != std::string::npos);
    CHECK(code_of([&] { client.attach_signature(at, ""); }) == COSIGN_ERR_ARGUMENT);
    CHECK(code_of([&] { (void)client.generate(at, cosign::sign_options().payload("x")); }) == COSIGN_ERR_ARGUMENT);
  });

  test("another key, no signature and no image are three different errors", [] {
    std::string at = image();
    auto key = cosign::private_key::generate(), other = cosign::private_key::generate("ed25519");
    cosign::client client;
    CHECK(code_of([&] { (void)client.verify(at, accepting(key)); }) == COSIGN_ERR_NO_SIGNATURES);
    client.sign(at, key);
    CHECK(code_of([&] { (void)client.verify(at, accepting(other)); }) == COSIGN_ERR_NO_SIGNATURE_MATCHES);
    CHECK(code_of([&] { (void)client.verify(at + "x", accepting(key)); }) == COSIGN_ERR_IMAGE_NOT_FOUND);
  });

  test("a refused verification carries its report", [] {
    std::string at = image();
    auto key = cosign::private_key::generate(), other = cosign::private_key::generate();
    cosign::client client;
    client.sign(at, key);
    try {
      (void)client.verify(at, accepting(other));
      CHECK(false);
    } catch (const cosign::error &e) {
      CHECK(e.json().find("\"checks\"") != std::string::npos);
      CHECK(std::string(e.name()) == "NO_SIGNATURE_MATCHES");
      CHECK(!e.retryable());
    }
  });

  test("annotations are signed and demanded", [] {
    std::string at = image();
    auto key = cosign::private_key::generate();
    cosign::client client;
    client.sign(at, key, cosign::sign_options().add_annotation("env", "prod"));
    CHECK(client.verify(at, accepting(key).require_annotation("env", "prod")).count() == 1);
    auto demands = accepting(key).require_annotation("env", "test");
    CHECK(code_of([&] { (void)client.verify(at, demands); }) == COSIGN_ERR_NO_SIGNATURE_MATCHES);
  });

  test("both formats are signed, named and asked for", [] {
    std::string at = image();
    auto key = cosign::private_key::generate(), other = cosign::private_key::generate();
    cosign::client client;
    auto done = client.sign(at, key, cosign::sign_options().format("both"));
    CHECK(done.count() == 2 && done.format(0) == "legacy" && done.format(1) == "bundle");
    CHECK(done.place(0) != done.place(1) && done.status(1) == "stored" && done.reason(1).empty() && done.added(1));
    CHECK(done.json().find("\"signatures\"") != std::string::npos);
    bool out_of_range = false;
    try {
      (void)done.format(2);
    } catch (const std::out_of_range &) {
      out_of_range = true;
    }
    CHECK(out_of_range);
    auto v = client.verify(at, accepting(key));
    CHECK(v.count() == 2 && v.format(0) == "legacy" && v.format(1) == "bundle");
    client.sign(at, other, cosign::sign_options().format("bundle"));
    auto legacy = cosign::verify_options().format("legacy"), bundle = cosign::verify_options().format("bundle");
    CHECK(code_of([&] { (void)client.verify(at, accepting(other), legacy); }) == COSIGN_ERR_NO_SIGNATURE_MATCHES);
    CHECK(client.verify(at, accepting(other), bundle).format(0) == "bundle");
    CHECK(code_of([&] { client.sign(at, key, cosign::sign_options().format("tag")); }) == COSIGN_ERR_ARGUMENT);
  });

  test("an index is signed with what it leads to", [] {
    // A blob that only its digest names.
    const std::string hex = "a5eddf3be3317ac178e8c247c469f1892d203c489e428be2bff0edc71acb873f";
    std::string at = image(), folder = at.substr(4, at.size() - 7), index = "oci:" + folder + "@sha256:" + hex;
    std::ofstream(folder + "/blobs/sha256/" + hex)
        << R"({"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{"mediaType":)"
        << R"("application/vnd.oci.image.manifest.v1+json","digest":")" << digest << R"(","size":499}]})";
    auto key = cosign::private_key::generate();
    cosign::client client;
    auto done = client.sign(index, key, cosign::sign_options().recursive(true));
    CHECK(done.count() == 2 && done.reference(0) == index && done.reference(0) == done.reference());
    CHECK(done.reference(1) == "oci:" + folder + "@" + digest);
    CHECK(client.verify(at, accepting(key)).count() == 1 && client.verify(index, accepting(key)).count() == 1);
  });

  test("options reach what is written and what is asked for", [] {
    std::string at = image();
    auto key = cosign::private_key::generate();
    cosign::client client;
    auto options = cosign::sign_options().identity("registry.example/app").tag_suffix(".cosign").journal(false);
    CHECK(client.sign(at, key, options.docker_media_types(true)).place(0).find(".cosign") != std::string::npos);
    CHECK(code_of([&] { (void)client.verify(at, accepting(key)); }) == COSIGN_ERR_NO_SIGNATURES);
    auto where = cosign::verify_options().tag_suffix(".cosign").journal(false);
    CHECK(client.verify(at, accepting(key), where).payload(0).find("registry.example/app") != std::string::npos);
    where.dangerous_ignore_claims().dangerous_any_payload_type().dangerous_any_predicate_type();
    CHECK(client.verify(at, accepting(key), where, cosign::call()).json().find("claims not checked") !=
          std::string::npos);
    std::string unnamed = at.substr(0, at.size() - 3);
    CHECK(client.sign(unnamed, key, cosign::sign_options().layout_tag("v2")).digest() == digest);
    CHECK(client.resolve(unnamed + ":v2").find(digest) != std::string::npos);
  });

  test("signatures are copied, cleaned and named directly", [] {
    std::string at = image(), to = at.substr(0, at.size() - 3) + "-copy:v1";
    auto key = cosign::private_key::generate();
    cosign::client client;
    client.sign(at, key, cosign::sign_options().format("both"));
    CHECK(client.copy(at, to).find("\"added\":2") != std::string::npos);
    CHECK(client.copy(at, to, "sig", "", true).find("\"added\":0") != std::string::npos);
    CHECK(code_of([&] { client.copy(at, to, "everything"); }) == COSIGN_ERR_ARGUMENT);
    CHECK(code_of([&] { client.copy(at, to, "", "linux/amd64"); }) == COSIGN_ERR_ARGUMENT);
    CHECK(client.gc(at, true, true).find("\"removed\":[]") != std::string::npos);
    CHECK(code_of([&] { client.clean(at, "everything"); }) == COSIGN_ERR_ARGUMENT);
    CHECK(client.clean(at).find("\"kept\":[]") != std::string::npos);
    CHECK(code_of([&] { (void)client.verify(at, accepting(key)); }) == COSIGN_ERR_NO_SIGNATURES);
    std::string hex = digest.substr(digest.find(':') + 1), sig = to.substr(0, to.size() - 2) + "sha256-" + hex + ".sig";
    auto named = cosign::verify_options().signature_reference(sig);
    CHECK(client.verify(at, accepting(key), named).count() == 1);
    CHECK(client.verify(to, accepting(key)).count() == 2);
    CHECK(code_of([&] {
            cosign::client_options options;
            options.signature_repository("registry.example/app:tag");
            cosign::client refused(options);
          }) == COSIGN_ERR_REFERENCE);
  });

  test("a client takes certificates, proxies and the environment", [] {
    auto refused = [](auto set) {
      cosign::client_options options;
      set(options);
      return code_of([&] { cosign::client client(options); }) != COSIGN_OK;
    };
    CHECK(refused([](auto &options) { options.ca_pem("no certificate"); }));
    CHECK(refused([](auto &options) { options.client_certificate("none", "none"); }));
    CHECK(refused([](auto &options) { options.proxy("socks5://proxy.example", "", ""); }));
    cosign::client_options options = cosign::client_options::from_env();
    options.proxy("http://proxy.example:3128", "", "localhost").add_certs_dir("/no/such/folder");
    options.allow_credential_helpers(false).allow_token_server("registry.example", "auth.other.example");
    cosign::client client(options);
  });

  test("a threshold counts distinct keys", [] {
    std::string at = image();
    auto one = cosign::private_key::generate(), two = cosign::private_key::generate();
    cosign::client client;
    cosign::policy both;
    both.add_key(one.public_key()).add_key(two.public_key()).threshold(2);
    client.sign(at, one);
    CHECK(code_of([&] { (void)client.verify(at, both); }) == COSIGN_ERR_THRESHOLD);
    client.sign(at, two);
    CHECK(client.verify(at, both).count() == 2);
  });

  test("an empty policy is an error", [] {
    std::string at = image();
    cosign::client client;
    CHECK(code_of([&] { (void)client.verify(at, cosign::policy()); }) == COSIGN_ERR_POLICY_EMPTY);
  });

  test("a key file opens with its password only", [] {
    auto key = cosign::private_key::generate();
    cosign::call right, wrong, none;
    right.password("right");
    wrong.password("wrong");
    std::string pem = key.to_pem(right);
    CHECK(pem.rfind("-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----", 0) == 0);
    auto again = cosign::private_key::from_pem(pem, right);
    CHECK(again.public_key().fingerprint() == key.public_key().fingerprint());
    CHECK(again.public_key().fingerprint().size() == 64);
    auto code = code_of([&] { (void)cosign::private_key::from_pem(pem, wrong); });
    CHECK(code == COSIGN_ERR_PASSWORD_WRONG);
    CHECK(code_of([&] { (void)cosign::private_key::from_pem(pem, none); }) == COSIGN_ERR_PASSWORD_REQUIRED);
  });

  test("a log that nobody trusts proves nothing, and a demand for its entry is refused", [] {
    auto at = image();
    auto key = cosign::private_key::generate();
    auto log = cosign::private_key::generate().public_key();
    cosign::client client(cosign::client_options().rekor_url("http://127.0.0.1:9"));
    client.sign(at, key, cosign::sign_options().tlog("public"));
    auto demanding = cosign::policy().add_key(key.public_key()).tlog(true);
    CHECK(code_of([&] { (void)client.verify(at, demanding); }) == COSIGN_ERR_POLICY_EMPTY);
    demanding.add_log_key(log);
    auto offline = cosign::verify_options().offline(true);
    CHECK(code_of([&] { (void)client.verify(at, demanding, offline); }) == COSIGN_ERR_NO_SIGNATURE_MATCHES);
    CHECK(code_of([&] { (void)client.verify(at, demanding); }) == COSIGN_ERR_NETWORK);
    CHECK(client.verify(at, demanding.tlog(false)).count() == 1);
    CHECK(code_of([&] { (void)client.verify(at, cosign::policy().add_trusted_root("{}")); }) == COSIGN_ERR_POLICY_EMPTY);
    CHECK(code_of([&] { client.sign(at, key, cosign::sign_options().tlog("always")); }) == COSIGN_ERR_NETWORK);
    CHECK(code_of([&] { client.sign(at, key, cosign::sign_options().tlog("perhaps")); }) == COSIGN_ERR_ARGUMENT);
    CHECK(code_of([&] { cosign::client wrong(cosign::client_options().rekor_url("log.test")); }) == COSIGN_ERR_ARGUMENT);
  });

  test("an exception of the password function comes out of the call", [] {
    auto key = cosign::private_key::generate();
    cosign::call call;
    call.password([](const char *, std::uint32_t) -> std::optional<std::string> { throw std::logic_error("mine"); });
    std::string caught;
    try {
      (void)key.to_pem(call);
    } catch (const std::logic_error &e) {
      caught = e.what();
    }
    CHECK(caught == "mine");
    // The slot is empty again: the next failure is its own.
    CHECK(code_of([&] { (void)cosign::public_key::from_pem("no pem"); }) == COSIGN_ERR_KEY_FORMAT);
  });

  test("the password function is destroyed exactly once", [] {
    auto counted = std::make_shared<int>(0);
    {
      cosign::call call;
      auto answer = [counted](const char *, std::uint32_t) { return std::optional<std::string>("x"); };
      call.password(answer);
      CHECK(counted.use_count() == 3);
      call.password(answer);
      CHECK(counted.use_count() == 3);
    }
    CHECK(counted.use_count() == 1);
  });

  test("a blob in memory, in a file and read by a function is the same blob", [] {
    auto key = cosign::private_key::generate();
    auto demands = accepting(key);
    const std::string blob(300000, 'x');
    const std::string path = image().substr(4, image().size() - 7) + ".blob";
    std::ofstream(path, std::ios::binary) << blob;
    std::size_t at = 0;
    cosign::reader read = [&](void *buffer, std::size_t size) {
      std::size_t count = std::min({size, std::size_t{1000}, blob.size() - at});
      std::memcpy(buffer, blob.data() + at, count);
      at += count;
      return count;
    };
    for (const char *form : {"raw", "base64", "bundle", "old-bundle"}) {
      at = 0;
      const std::string made[] = {cosign::sign_blob(key, blob, form), cosign::sign_blob(key, cosign::file{path}, form),
                                  cosign::sign_blob(key, read, form)};
      for (const auto &signature : made) {
        cosign::blob_signatures given;
        if (std::string(form).find("bundle") == std::string::npos)
          given.signature(signature);
        else
          given.bundle(signature);
        at = 0;
        const auto hash = given.verify(blob, demands).digest();
        CHECK(hash.rfind("sha256:", 0) == 0);
        CHECK(given.verify(cosign::file{path}, demands).reference() == path);
        CHECK(given.verify(read, demands).digest() == hash);
        CHECK(code_of([&] { (void)given.verify("another", demands); }) == COSIGN_ERR_NO_SIGNATURE_MATCHES);
      }
    }
    cosign::blob_signatures named;
    named.name("my blob").signature("AAAA").hash("sha256");
    try {
      (void)named.verify(blob, demands);
      CHECK(false);
    } catch (const cosign::error &e) {
      CHECK(std::string(e.what()).find("my blob") != std::string::npos);
    }
    CHECK(code_of([&] { (void)cosign::blob_signatures().verify(blob, demands); }) == COSIGN_ERR_ARGUMENT);
    CHECK(code_of([&] { (void)cosign::sign_blob(key, cosign::file{"/nowhere/at/all"}); }) == COSIGN_ERR_IO);
    bool thrown = false;
    try {
      (void)cosign::sign_blob(key, cosign::reader([](void *, std::size_t) -> std::size_t { throw std::runtime_error("mine"); }));
    } catch (const std::runtime_error &e) {
      thrown = std::string(e.what()) == "mine";
    }
    CHECK(thrown);
  });

  test("public keys of every kind survive PEM", [] {
    for (const char *name : {"ecdsa-p256", "ecdsa-p384", "ecdsa-p521", "ed25519", "rsa-2048"}) {
      auto key = cosign::private_key::generate(name).public_key();
      CHECK(cosign::public_key::from_pem(key.to_pem()).fingerprint() == key.fingerprint());
    }
    CHECK(code_of([] { (void)cosign::private_key::generate("rsa-1024"); }) == COSIGN_ERR_KEY_ALGORITHM);
  });

  test("text with a zero byte is refused, not cut", [] {
    auto key = cosign::private_key::generate();
    std::string at = image() + std::string(1, '\0') + "evil";
    cosign::client client;
    CHECK(code_of([&] { client.sign(at, key); }) == COSIGN_ERR_ENCODING);
    CHECK(code_of([&] { cosign::policy().require_annotation("a", std::string("b\0c", 3)); }) == COSIGN_ERR_ENCODING);
  });

  test("a client without layouts refuses them", [] {
    cosign::client_options options;
    options.user_agent("driver/1").layouts(false);
    cosign::client client(options);
    std::string at = image();
    auto key = cosign::private_key::generate();
    CHECK(code_of([&] { client.sign(at, key); }) != COSIGN_OK);
  });

  test("a cancelled call stops", [] {
    std::string at = image();
    auto key = cosign::private_key::generate();
    cosign::call call;
    call.cancel();
    cosign::client client;
    CHECK(code_of([&] { client.sign(at, key, call); }) == COSIGN_ERR_CANCELLED);
    CHECK(code_of([&] { (void)client.verify(at, accepting(key)); }) == COSIGN_ERR_NO_SIGNATURES);
  });

  test("a batch hands out every result once", [] {
    auto key = cosign::private_key::generate();
    cosign::client client;
    std::string good = image(), unsigned_one = image();
    client.sign(good, key);
    std::vector<std::string> images{good, unsigned_one, "not a reference", good};
    std::vector<cosign_code> codes(images.size(), -1);
    auto note = [&](const cosign::batch_result &result) {
      CHECK((result.proof == nullptr) != (result.why == nullptr) && images.at(result.index % 4) == result.reference);
      if (result.proof) CHECK(result.proof->digest() == digest && result.proof->count() == 1);
      if (result.index < 4) codes.at(result.index) = result.why ? result.why->code() : COSIGN_OK;
      return true;
    };
    const std::vector<cosign_code> wanted{COSIGN_OK, COSIGN_ERR_NO_SIGNATURES, COSIGN_ERR_REFERENCE, COSIGN_OK};
    client.verify_images(images, accepting(key), note);
    CHECK(codes == wanted);
    codes.assign(4, -1);
    std::size_t asked = 0;
    auto next = [&]() -> std::optional<std::string> {
      if (asked == 100) return std::nullopt;
      return images.at(asked++ % 4);
    };
    client.verify_images(cosign::reference_function(next), accepting(key), note, {},
                         cosign::batch_options().at_once(2).per_host(1).image_timeout(std::chrono::seconds(60)));
    CHECK(codes == wanted && asked == 100);
    CHECK(code_of([&] { client.verify_images(images, cosign::policy(), note); }) == COSIGN_ERR_POLICY_EMPTY);
    CHECK(code_of([&] { client.verify_images(images, accepting(key), note, {}, cosign::batch_options().at_once(0)); }) ==
          COSIGN_ERR_ARGUMENT);
  });

  test("a callback of a batch may throw, or stop it", [] {
    auto key = cosign::private_key::generate();
    cosign::client client;
    std::vector<std::string> images{image(), image()};
    int seen = 0;
    CHECK(code_of([&] {
            client.verify_images(images, accepting(key), [&](const cosign::batch_result &) { return ++seen, false; });
          }) == COSIGN_ERR_CANCELLED);
    CHECK(seen == 1);
    bool thrown = false;
    try {
      client.verify_images(images, accepting(key), [](const cosign::batch_result &) -> bool { throw 7; });
    } catch (int number) {
      thrown = number == 7;
    }
    CHECK(thrown);
    thrown = false;
    try {
      client.verify_images([]() -> std::optional<std::string> { throw 8; }, accepting(key),
                           [](const cosign::batch_result &) { return true; });
    } catch (int number) {
      thrown = number == 8;
    }
    CHECK(thrown);
    CHECK(code_of([&] { client.verify_images({std::string("a\0b", 3)}, accepting(key), nullptr); }) ==
          COSIGN_ERR_ENCODING);
  });

  test("16 threads share one client and lose no signature", [] {
    std::string at = image();
    cosign::client client;
    std::vector<cosign::private_key> keys;
    cosign::policy all;
    for (int i = 0; i < 16; ++i) {
      keys.push_back(cosign::private_key::generate());
      all.add_key(keys.back().public_key());
    }
    all.threshold(16);
    std::atomic<int> errors{0};
    std::vector<std::thread> threads;
    for (const auto &key : keys)
      threads.emplace_back([&] {
        try {
          client.sign(at, key);
        } catch (const std::exception &) {
          ++errors;
        }
      });
    for (auto &thread : threads) thread.join();
    CHECK(errors == 0);
    CHECK(client.verify(at, all).count() == 16);
  });

  std::cout << passed << " passed, " << failed << " failed\n";
  return failed == 0 && passed > 0 ? 0 : 1;
}
