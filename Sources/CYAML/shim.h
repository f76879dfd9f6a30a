/* libyaml (MIT), linked statically: Package.swift names the archive. */
#include <yaml.h>
