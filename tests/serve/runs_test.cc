// What precedes a job ends with its client.
#include "serve/openai/runs.h"

#include <gtest/gtest.h>

namespace facet::serve {
namespace {

// A client that leaves when the test says so.
class LeavingClient : public Exchange {
 public:
  void Send(HttpResponse) override {}
  void BeginStream(StreamForm) override {}
  void AddHeader(std::string, std::string) override {}
  void Write(std::string) override {}
  void End() override {}
  void SetComment(std::string) override {}
  size_t Pending() const override { return 0; }
  bool Closed() const override { return closed_; }
  void OnClose(std::function<void()> gone) override {
    gone_ = std::move(gone);
    if (closed_) gone_();
  }
  void Leave() {
    closed_ = true;
    if (gone_) gone_();
  }

 private:
  bool closed_ = false;
  std::function<void()> gone_;
};

TEST(StopWhenClosed, AsksToStopWhenTheClientLeaves) {
  LeavingClient client;
  const std::stop_token stop = StopWhenClosed(client);
  EXPECT_FALSE(stop.stop_requested());
  client.Leave();
  EXPECT_TRUE(stop.stop_requested());
  // Who has left already waits for nothing.
  EXPECT_TRUE(StopWhenClosed(client).stop_requested());
}

}  // namespace
}  // namespace facet::serve
