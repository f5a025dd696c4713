// Signs the image that the first argument names with a new key, and verifies it.
//     c++ -std=c++17 sign_and_verify.cpp $(pkg-config --cflags --libs cosign) -o sign_and_verify
//     cp -r ../image /tmp/image && ./sign_and_verify oci:/tmp/image:v1
#include <cosign.hpp>

#include <iostream>

int main(int argc, char **argv) {
  const char *image = argc > 1 ? argv[1] : "oci:image:v1";
  try {
    cosign::private_key key = cosign::private_key::generate();
    cosign::client client;
    client.sign(image, key);
    cosign::verification v = client.verify(image, cosign::policy().add_key(key.public_key()));
    std::cout << v.digest() << ": " << v.count() << " good signature(s)\n";
  } catch (const std::exception &e) {
    std::cerr << e.what() << '\n';
    return 1;
  }
}
