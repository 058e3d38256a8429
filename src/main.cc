#include "cli/commands.h"

int main(int argc, char** argv) {
  return facet::cli::Main(argc, argv);
}
