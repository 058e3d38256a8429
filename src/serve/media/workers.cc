#include "serve/media/workers.h"

#include <boost/asio/post.hpp>

namespace facet::serve {

void MediaWorkers::Run(std::function<void()> task) {
  boost::asio::post(threads_, std::move(task));
}

}  // namespace facet::serve
