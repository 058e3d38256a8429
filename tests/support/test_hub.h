// Starts tests/tools/hub_server.py and looks at what it saw. One server and one scratch folder a
// test.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "hub/hub.h"
#include "support/paths.h"
#include "support/temp_folder.h"

namespace facet {

class TestHub {
 public:
  using json = nlohmann::json;
  static constexpr const char* kCommit = "0123456789abcdef0123456789abcdef01234567";

  TestHub() { std::filesystem::create_directories(root() / "root"); }
  ~TestHub() { Stop(); }

  // Bytes that compress to nothing shorter and differ between files.
  static std::string Noise(size_t bytes, unsigned seed) {
    std::mt19937 random(seed);
    std::string out(bytes, '\0');
    for (char& c : out) c = static_cast<char>(random());
    return out;
  }

  void Add(const std::string& repo, const std::string& name, const std::string& content) {
    Write(root() / "root" / repo / name, content);
  }

  void Start(const json& behaviour = json::object()) {
    int in[2], out[2];
    ASSERT_EQ(pipe2(in, O_CLOEXEC), 0);
    ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
    const std::string script = TestsDir() + "/tools/hub_server.py";
    const std::string folder = (root() / "root").string(), text = behaviour.dump();
    server_ = fork();
    if (server_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      execlp("python3", "python3", script.c_str(), folder.c_str(), text.c_str(), nullptr);
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    server_in_ = in[1];
    std::string line;
    for (char c; read(out[0], &c, 1) == 1 && c != '\n';) line += c;
    close(out[0]);
    const json ports = json::parse(line, nullptr, false);
    ASSERT_TRUE(ports.is_object()) << "the test server did not start";
    hub_port_ = ports["hub"];
    cdn_port_ = ports["cdn"];
  }

  void Stop() {
    if (server_ <= 0) return;
    close(server_in_);
    waitpid(server_, nullptr, 0);
    server_ = 0;
  }

  HubConfig Config() const {
    HubConfig config;
    config.endpoint = "http://127.0.0.1:" + std::to_string(hub_port_);
    config.cache = cache();
    config.retry_delay = std::chrono::milliseconds(5);
    config.chunk_bytes = 64 << 10;
    return config;
  }

  const std::filesystem::path& root() const { return folder_.path(); }
  std::filesystem::path cache() const { return root() / "hf" / "hub"; }
  int cdn_port() const { return cdn_port_; }
  int hub_port() const { return hub_port_; }

  // What the server logged, in order.
  std::vector<json> Requests() const {
    std::vector<json> out;
    std::ifstream in(root() / "requests.jsonl");
    for (std::string line; std::getline(in, line);) out.push_back(json::parse(line));
    return out;
  }
  void ForgetRequests() const { std::filesystem::resize_file(root() / "requests.jsonl", 0); }

  static void Write(const std::filesystem::path& path, const std::string& content) {
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
  }
  static std::string Read(const std::filesystem::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  // Paths of everything below a folder that is no folder, relative to it.
  static std::set<std::string> Tree(const std::filesystem::path& top) {
    std::set<std::string> out;
    std::error_code code;
    for (std::filesystem::recursive_directory_iterator it(top, code), end; !code && it != end;
         it.increment(code)) {
      std::error_code gone;  // meanwhile, by somebody who writes there
      if (it->is_symlink(gone) || !it->is_directory(gone))
        out.insert(it->path().lexically_relative(top).string());
    }
    return out;
  }

 private:
  const TempFolder folder_;
  pid_t server_ = 0;
  int server_in_ = -1, hub_port_ = 0, cdn_port_ = 0;
};

}  // namespace facet
