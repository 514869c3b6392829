/* SPDX-License-Identifier: MIT */
/*
 * hello-cxx.cpp - greetings with a type, in C++: "hello-cxx pub" sends ten of them, "hello-cxx sub" prints them
 *
 *	c++ -std=c++17 hello-cxx.cpp -o hello-cxx $(pkg-config --cflags --libs zcp)
 */
#include <iostream>
#include <string_view>
#include <zcp/zcp.hpp>

/* What travels: plain memory, that means the same in every process. */
struct Greeting {
	int number;
	char text[32];
};
/* How programs call it, whatever they are written in. Endpoints whose type has another name or size are refused. */
template <> inline constexpr const char *zcp::type_name<Greeting> = "hello/Greeting";

static const zcp::Topic topic = { "hello", "cxx", "greeting" };

static void publish(const zcp::Node &node)
{
	zcp::PublisherOptions options;

	options.reliable = true;
	options.timeout = zcp::forever.ns();
	zcp::Publisher<Greeting> publisher(node, topic, options);
	if (!publisher.wait(1, zcp::forever))
		return;
	for (int i = 0; i < 10; i++) {
		/* Borrowed room in shared memory; the message is written there and never copied. */
		zcp::Loan<Greeting> greeting = publisher.loan();

		*greeting = { i, "hello" };
		greeting.publish();
	}
}

static void subscribe(const zcp::Node &node)
{
	zcp::Subscriber<Greeting> subscriber(node, topic);

	for (int i = 0; i < 10;) {
		/* Empty if somebody else was faster, or something of another size came. */
		if (auto greeting = subscriber.next(zcp::forever)) {
			/* the publisher's memory, which stays as it is until the end of this block */
			std::cout << std::string_view(greeting->get()->text) << " number " << (*greeting)->number << '\n';
			i++;
		}
	}
}

int main(int argc, char **argv)
{
	const std::string_view what = argc == 2 ? argv[1] : "";

	if (what != "pub" && what != "sub") {
		std::cerr << "usage: hello-cxx pub|sub\n";
		return 2;
	}
	try {
		zcp::NodeOptions options;

		options.autostart = true;
		zcp::Node node("hello-cxx", options);
		if (what == "pub")
			publish(node);
		else
			subscribe(node);
	} catch (const zcp::Error &error) {
		std::cerr << "hello-cxx: " << error.what() << '\n';
		return 1;
	}
	return 0;
}
