// Media by address: off unless allowed, and no way around what is allowed.
#include "serve/media/access.h"

#include <arpa/inet.h>

#include "base/mapped_file.h"
#include "support/http_client.h"
#include "support/paths.h"

namespace facet::serve {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Answers each connection by its path, in a thread of its own.
class Site {
 public:
  Site() : listener_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(listen(listener_, 16), 0);
    socklen_t size = sizeof(address);
    getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    thread_ = std::thread([this] { Run(); });
  }
  ~Site() {
    shutdown(listener_, SHUT_RDWR);
    close(listener_);
    thread_.join();
  }
  std::map<std::string, std::string> answers;  // whole HTTP answers by path; "" hangs
  // Ends what hangs: as if the other side had given up.
  void LetGo() { let_go_ = true; }
  std::string Url(const std::string& path) const { return Cat("http://127.0.0.1:", port_, path); }
  std::string host() const { return Cat("127.0.0.1:", port_); }
  std::atomic<int> asked{0};

 private:
  void Run() {
    for (int fd; (fd = accept(listener_, nullptr, nullptr)) >= 0; close(fd)) {
      char head[4096] = "";
      const ssize_t n = recv(fd, head, sizeof(head) - 1, 0);
      if (n <= 0) continue;
      ++asked;
      const std::string text(head, n);
      const std::string path = text.substr(4, text.find(' ', 4) - 4);
      const std::string answer = answers[path];
      if (answer.empty()) Hang(fd);
      send(fd, answer.data(), answer.size(), MSG_NOSIGNAL);
    }
  }
  // Until the client closes, or LetGo.
  void Hang(int fd) {
    const timeval pause{.tv_sec = 0, .tv_usec = 5000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &pause, sizeof(pause));
    char byte;
    while (!let_go_) {
      const ssize_t n = recv(fd, &byte, 1, 0);
      if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK)) return;
    }
  }
  int listener_;
  uint16_t port_;
  std::atomic<bool> let_go_{false};
  std::thread thread_;
};

std::string Ok200(const std::string& body) {
  return Cat("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ", body.size(), "\r\n\r\n",
             body);
}
std::string Redirect(const std::string& to) {
  return Cat("HTTP/1.1 302 Found\r\nConnection: close\r\nContent-Length: 0\r\nLocation: ", to,
             "\r\n\r\n");
}

class MediaAccessTest : public ServerTest {
 protected:
  std::string Picture() { return *ReadFile(fs::path(TestsDir()) / "../examples/media/house.png"); }
  HttpAnswer See(const std::string& url) {
    const json part = {{"type", "image_url"}, {"image_url", {{"url", url}}}};
    return Post("/v1/chat/completions",
                {{"messages", {{{"role", "user"}, {"content", json::array({part})}}}}});
  }
  void Refused(const std::string& url, const std::string& code) {
    const HttpAnswer answer = See(url);
    EXPECT_EQ(answer.status, 400) << url;
    const json error = answer.Json()["error"];
    EXPECT_EQ(error["code"], code) << url << " " << error;
    EXPECT_EQ(error["param"], "messages[0].content[0].image_url.url") << url;
  }
};

TEST_F(MediaAccessTest, NothingIsOpenedUnlessItIsAllowed) {
  Site site;
  StartServer({{{"emit", "x"}}});
  for (const std::string& url :
       {site.Url("/p"), std::string("file:///etc/passwd"), std::string("ftp://a/b"),
        std::string("/etc/passwd"), std::string("gopher://127.0.0.1/")})
    Refused(url, "unsupported_url");
  EXPECT_EQ(site.asked, 0);
}

TEST_F(MediaAccessTest, FetchesFromAllowedHostsOnly) {
  Site site, other;
  site.answers["/p"] = Ok200(Picture());
  site.answers["/moved"] = Redirect("/p");
  site.answers["/away"] = Redirect(other.Url("/p"));
  site.answers["/file"] = Redirect("file:///etc/passwd");
  site.answers["/loop"] = Redirect("/loop");
  site.answers["/gone"] = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope";
  site.answers["/large"] = Ok200(std::string(3 << 20, 'x'));
  other.answers["/p"] = Ok200(Picture());
  options_.limits.media.hosts = {site.host()};
  options_.limits.media.private_addresses = true;
  options_.limits.media.max_bytes = 2 << 20;
  options_.limits.media.time = std::chrono::milliseconds(700);
  StartServer({{{"emit", "x"}}});
  const HttpAnswer answer = See(site.Url("/p"));
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_GT(answer.Json()["usage"]["prompt_tokens"], 200);
  EXPECT_EQ(See(site.Url("/moved")).status, 200);
  Refused(site.Url("/away"), "url_not_allowed");
  Refused(site.Url("/file"), "unsupported_url");
  Refused(other.Url("/p"), "url_not_allowed");
  EXPECT_EQ(other.asked, 0);
  Refused(Cat("http://user:pass@", site.host(), "/p"), "unsupported_url");
  Refused(Cat("http://", site.host(), "@example.com/p"), "unsupported_url");
  Refused("http://127.0.0.1/p", "url_not_allowed");  // another port
  Refused(site.Url("/loop"), "media_unavailable");
  Refused(site.Url("/gone"), "media_unavailable");
  Refused(site.Url("/large"), "media_unavailable");
  Refused(site.Url("/slow"), "media_unavailable");
  Refused("file:///etc/passwd", "unsupported_url");
}

// Requests that wait for media keep nobody else waiting.
TEST_F(MediaAccessTest, OthersAreAnsweredWhileMediaAreFetched) {
  Site site;
  options_.limits.media.hosts = {site.host()};
  options_.limits.media.private_addresses = true;
  options_.limits.media.time = std::chrono::minutes(1);
  StartServer({{{"emit", "x"}}});
  std::vector<std::thread> clients;
  // Some in a message, some in what a tool gave.
  const json result = {
      {"type", "function_call_output"},
      {"call_id", "c"},
      {"output", json::array({{{"type", "input_image"}, {"image_url", site.Url("/slow")}}})}};
  for (int i = 0; i < 4; ++i) {
    clients.emplace_back([&] { EXPECT_EQ(See(site.Url("/slow")).status, 400); });
    clients.emplace_back([&] {
      EXPECT_EQ(Post("/v1/responses", {{"input", json::array({result})}}).status, 400);
    });
  }
  EXPECT_TRUE(WaitFor([&] { return site.asked > 0; }));
  // All of them wait, as many as there are threads for media at a fetch: it ends no sooner than
  // LetGo.
  EXPECT_EQ(Request("GET", "/health", "").status, 200);
  EXPECT_EQ(
      Post("/v1/chat/completions", {{"messages", {{{"role", "user"}, {"content", "hi"}}}}}).status,
      200);
  site.LetGo();
  for (std::thread& client : clients) client.join();
}

TEST_F(MediaAccessTest, AnAllowedNameThatLeadsToThisMachineIsRefused) {
  Site site;
  options_.limits.media.hosts = {site.host(), Cat("LOCALHOST:", site.host().substr(10))};
  StartServer({{{"emit", "x"}}});
  Refused(site.Url("/p"), "url_not_allowed");
  Refused(Cat("http://localhost:", site.host().substr(10), "/p"), "url_not_allowed");
  EXPECT_EQ(site.asked, 0);
}

TEST_F(MediaAccessTest, OpensFilesBelowAllowedFoldersOnly) {
  const fs::path inside = folder_ / "in side", outside = folder_ / "in sideways";
  fs::create_directories(inside / "deep");
  fs::create_directories(outside);
  for (const fs::path& path : {inside / "p.png", inside / "deep/p.png", outside / "p.png"})
    std::ofstream(path, std::ios::binary) << Picture();
  fs::create_symlink(outside / "p.png", inside / "link.png");
  fs::create_directory_symlink(outside, inside / "out");
  fs::create_symlink(inside / "p.png", outside / "back.png");
  ASSERT_EQ(mkfifo((inside / "pipe").c_str(), 0600), 0);
  options_.limits.media.folders = {inside};
  StartServer({{{"emit", "x"}}});
  const std::string base = "file://" + folder_.string() + "/in%20side/";
  EXPECT_EQ(See(base + "p.png").status, 200);
  EXPECT_EQ(See(base + "deep/../deep/p.png").status, 200);
  EXPECT_EQ(See("file://localhost" + folder_.string() + "/in%20sideways/back.png").status, 200);
  for (const char* path : {"link.png", "out/p.png", "../in%20sideways/p.png", "pipe", "deep", "",
                           "missing.png", "%2e%2e/in%20sideways/p.png"})
    Refused(base + path, "url_not_allowed");
  Refused("file:///etc/passwd", "url_not_allowed");
  Refused("file:p.png", "url_not_allowed");
}

TEST(MediaAccess, KnowsWhichAddressesArePublic) {
  const auto is_public = [](const char* text) {
    sockaddr_storage storage{};
    auto& four = reinterpret_cast<sockaddr_in&>(storage);
    auto& six = reinterpret_cast<sockaddr_in6&>(storage);
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
      four.sin_family = AF_INET;
    } else {
      EXPECT_EQ(inet_pton(AF_INET6, text, &six.sin6_addr), 1) << text;
      six.sin6_family = AF_INET6;
    }
    return IsPublic(reinterpret_cast<sockaddr&>(storage));
  };
  for (const char* text : {"8.8.8.8", "93.184.216.34", "172.32.0.1", "100.128.0.1", "11.0.0.1",
                           "2606:4700::1111", "2a00:1450::1"})
    EXPECT_TRUE(is_public(text)) << text;
  for (const char* text : {"0.0.0.0",
                           "10.1.2.3",
                           "100.64.0.1",
                           "127.0.0.1",
                           "127.255.0.1",
                           "169.254.169.254",
                           "172.16.0.1",
                           "172.31.255.255",
                           "192.168.0.1",
                           "198.18.0.1",
                           "224.0.0.1",
                           "255.255.255.255",
                           "::",
                           "::1",
                           "::ffff:127.0.0.1",
                           "::ffff:8.8.8.8",
                           "fe80::1",
                           "fc00::1",
                           "fd12::1",
                           "ff02::1",
                           "64:ff9b::7f00:1",
                           "2002:7f00:1::",
                           "2001::1",
                           "2001:db8::1"})
    EXPECT_FALSE(is_public(text)) << text;
}

TEST(MediaAccess, ASettingThatCannotBeMeantIsRefused) {
  MediaAccess wild{.hosts = {"*.example.com"}, .folders = {}};
  EXPECT_FALSE(Prepare(wild).ok());
  MediaAccess gone{.hosts = {}, .folders = {"/no/such/folder"}};
  EXPECT_FALSE(Prepare(gone).ok());
}

}  // namespace
}  // namespace facet::serve
