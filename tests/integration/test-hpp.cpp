/* SPDX-License-Identifier: MIT */
/*
 * zcp.hpp against a real router: messages with a type and without, calls, events, the newest value, wait sets and watches; and that
 * objects end what they stand for, whatever order they go in. What the calls do in all their variants is tested in C.
 */
#include <zcp/zcp.hpp>

#include <check.h>
#include <csignal>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* Of harness.h and lib-helper.h, which are C. */
extern "C" {
extern char lib_socket[108];
void lib_router_start(void);
void lib_router_stop(int signal);
int run_suite(Suite *suite);
TCase *add_test_case(Suite *suite, const char *name, double timeout_s);
}

using namespace std::chrono_literals;

struct Pose {
	std::uint64_t number = 7;
	double x, y;
};
template <> inline constexpr const char *zcp::type_name<Pose> = "test/Pose";

/* Another type of the same size, and one of the same name in another program that is larger. */
struct Velocity {
	std::uint64_t number;
	double x, y;
};
template <> inline constexpr const char *zcp::type_name<Velocity> = "test/Velocity";
struct NewPose {
	std::uint64_t number;
	double x, y, z;
};
template <> inline constexpr const char *zcp::type_name<NewPose> = "test/Pose";

/* Never inline, and aligned. */
struct alignas(64) Frame {
	unsigned char pixels[4096];
};
template <> inline constexpr const char *zcp::type_name<Frame> = "test/Frame";

struct Header {
	std::uint64_t source;
};

static const zcp::Topic topic = { "hpp", "test", "messages" };

static zcp::Node join(const char *name)
{
	zcp::NodeOptions options;

	options.socket_path = lib_socket;
	return zcp::Node(name, options);
}

/* The errno value of the Error that @function throws; 0: none. */
template <class Function> static int error_of(Function function)
{
	try {
		function();
	} catch (const zcp::Error &error) {
		ck_assert_str_ne(error.what(), "");
		return error.number();
	}
	return 0;
}

#define MUST(optional) must(optional, #optional)
template <class T> static T must(std::optional<T> value, const char *what)
{
	ck_assert_msg(value.has_value(), "%s is empty", what);
	return std::move(*value);
}

/* --- publishers and subscribers ------------------------------------------------------------------- */

START_TEST(typed)
{
	lib_router_start();
	{
		zcp::Node node = join("n");
		zcp::Subscriber<Pose> subscriber(node, topic);
		zcp::PublisherOptions options;
		options.header_size = sizeof(Header);
		zcp::Publisher<Pose> publisher(node, topic, options);

		ck_assert(publisher.wait(1, 20s));
		ck_assert_int_eq(publisher.subscribers(), 1);
		ck_assert(!subscriber.take());
		ck_assert(!subscriber.wait(0s));
		ck_assert(!subscriber.next(1ms));

		zcp::Loan<Pose> loan = publisher.loan();
		ck_assert_uint_eq(loan->number, 7);
		loan->x = 1.5;
		loan->y = -2;
		ck_assert_int_eq(loan.publish_with(Header{ 99 }), 1);
		ck_assert(!loan);
		ck_assert_int_eq(publisher.send(Pose{ 8, 3, 4 }), 1);

		zcp::Sample<Pose> first = MUST(subscriber.next(20s));
		ck_assert_uint_eq(first->number, 7);
		ck_assert((*first).x == 1.5 && first->y == -2);
		ck_assert_uint_eq(first.sequence(), 0);
		ck_assert_uint_eq(first.publisher(), publisher.id());
		ck_assert_ptr_nonnull(first.header<Header>());
		ck_assert_uint_eq(first.header<Header>()->source, 99);
		struct Other {
			std::uint64_t a, b;
		};
		ck_assert_ptr_null(first.header<Other>());
		auto age = std::chrono::steady_clock::now() - first.timestamp();
		ck_assert(age > -1s && age < 60s);

		zcp::Sample<Pose> second = MUST(subscriber.take());
		ck_assert_uint_eq(second.copy().number, 8);
		first = std::move(second);
		ck_assert_uint_eq(first->number, 8);
		ck_assert(first && !second);
		ck_assert_uint_eq(subscriber.stats().received, 2);
	}
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(samples_are_given_back)
{
	lib_router_start();
	{
		zcp::Node node = join("n");
		zcp::SubscriberOptions options;
		options.max_held = 1;
		zcp::Subscriber<Pose> subscriber(node, topic, options);
		zcp::Publisher<Pose> publisher(node, topic);

		ck_assert(publisher.wait(1, zcp::forever));
		for (std::uint64_t i = 0; i < 3; i++)
			publisher.send(Pose{ i, 0, 0 });
		{
			zcp::Sample<Pose> held = MUST(subscriber.next(20s));
			ck_assert_int_eq(error_of([&] { (void)subscriber.take(); }), ENOBUFS);
		}
		zcp::Sample<Pose> next = MUST(subscriber.take());
		ck_assert_uint_eq(next->number, 1);
		next.release();
		ck_assert_uint_eq(MUST(subscriber.take())->number, 2);
	}
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(loans_are_discarded)
{
	lib_router_start();
	{
		zcp::Node node = join("n");
		zcp::PublisherOptions options;
		options.max_loans = 1;
		zcp::Publisher<Pose> publisher(node, topic, options);
		{
			zcp::Loan<Pose> loan = publisher.loan();
			ck_assert(!publisher.try_loan());
			ck_assert_int_eq(error_of([&] { (void)publisher.loan(); }), ENOBUFS);
			zcp::Loan<Pose> moved = std::move(loan);
			ck_assert(moved && !loan);
		}
		zcp::Loan<Pose> loan = publisher.loan();
		loan.discard();
		ck_assert_int_eq(error_of([&] { loan.publish(); }), EINVAL);
		ck_assert(publisher.try_loan().has_value());
	}
	lib_router_stop(SIGTERM);
}
END_TEST

/* A reliable subscriber that does not take: try_ says so, the others throw, and the loan stays. */
START_TEST(no_room)
{
	lib_router_start();
	{
		zcp::Node node = join("n");
		zcp::PublisherOptions options;
		options.reliable = true;
		options.depth = 1;
		zcp::Subscriber<Pose> subscriber(node, topic);
		zcp::Publisher<Pose> publisher(node, topic, options);
		int n = 0;

		ck_assert(publisher.wait(1, 20s));
		zcp::Loan<Pose> last = publisher.loan();
		while (publisher.try_send(Pose{}))
			ck_assert_int_lt(++n, 100);
		ck_assert_int_eq(error_of([&] { publisher.send(Pose{}); }), EAGAIN);
		last->number = 1000;
		ck_assert(!last.try_publish());
		ck_assert_int_eq(error_of([&] { last.publish(); }), EAGAIN);
		ck_assert(bool(last));
		for (; n > 0; n--)
			ck_assert_uint_eq(MUST(subscriber.take())->number, 7);
		ck_assert(!subscriber.take());
		ck_assert_int_eq(MUST(last.try_publish()), 1);
		ck_assert(!last);
		ck_assert_uint_eq(MUST(subscriber.take())->number, 1000);
	}
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(bytes)
{
	lib_router_start();
	{
		zcp::Node node = join("n");
		zcp::Subscriber<std::byte> subscriber(node, topic);
		zcp::Publisher<std::byte> publisher(node, topic);
		const std::vector<std::uint32_t> numbers = { 1, 2, 3 };

		ck_assert(publisher.wait(1, 20s));
		publisher.send("hello");
		publisher.send(numbers);
		publisher.send(std::string("there"));
		publisher.send({ numbers.data(), 4 });
		zcp::Loan<std::byte> loan = publisher.loan(1000);
		ck_assert_uint_eq(loan.size(), 1000);
		for (std::byte &byte : loan)
			byte = std::byte{ 42 };
		ck_assert_int_eq(error_of([&] { loan.shrink(1001); }), EMSGSIZE);
		loan.shrink(500);
		loan.publish();

		ck_assert(MUST(subscriber.next(20s)).text() == "hello");
		zcp::Sample<std::byte> sample = MUST(subscriber.take());
		ck_assert_uint_eq(sample.size(), 12);
		ck_assert_mem_eq(sample.data(), numbers.data(), 12);
		ck_assert(MUST(subscriber.take()).text() == "there");
		ck_assert_uint_eq(MUST(subscriber.take()).size(), 4);
		sample = MUST(subscriber.take());
		ck_assert_int_eq(sample.end() - sample.begin(), 500);
		for (std::byte byte : sample)
			ck_assert(byte == std::byte{ 42 });
		ck_assert_int_eq(node.send(topic, "by the router"), 1);
		ck_assert(MUST(subscriber.next(20s)).text() == "by the router");
	}
	lib_router_stop(SIGTERM);
}
END_TEST

/* Types with another name, or another size under the same name, do not meet; untyped ones do, and what does not fit is dropped. */
START_TEST(types)
{
	lib_router_start();
	{
		zcp::Node node = join("n");
		zcp::Subscriber<Pose> subscriber(node, topic);
		zcp::Publisher<Frame> frames(node, { "hpp", "test", "frames" });
		zcp::Subscriber<Frame> view(node, { "hpp", "test", "frames" });
		zcp::Publisher<std::byte> untyped(node, topic);

		ck_assert_int_eq(error_of([&] { zcp::Publisher<Velocity> wrong(node, topic); }), EPROTOTYPE);
		ck_assert_int_eq(error_of([&] { zcp::Publisher<NewPose> wrong(node, topic); }), EPROTOTYPE);
		ck_assert_int_eq(error_of([&] { zcp::Latest<Velocity> wrong(node, topic); }), EPROTOTYPE);
		try {
			zcp::Subscriber<NewPose> wrong(node, topic);
			ck_abort_msg("a larger test/Pose is accepted");
		} catch (const std::system_error &error) {
			ck_assert(error.code() == std::errc::wrong_protocol_type);
			ck_assert_ptr_nonnull(std::strstr(error.what(), "test/Pose"));
		}

		ck_assert(untyped.wait(1, 20s));
		untyped.send("too short");
		untyped.send(std::array<Pose, 1>{});
		ck_assert_uint_eq(MUST(subscriber.next(20s))->number, 7);
		ck_assert_uint_eq(subscriber.unfit(), 1);
		/* a flood of them comes to an end */
		for (int i = 0; i < 100; i++)
			untyped.send("too short");
		ck_assert(!subscriber.take());
		ck_assert_uint_eq(subscriber.unfit(), 65);
		ck_assert(!subscriber.take());
		ck_assert_uint_eq(subscriber.unfit(), 101);

		ck_assert(frames.wait(1, 20s));
		zcp::Loan<Frame> frame = frames.loan();
		ck_assert_uint_eq(reinterpret_cast<std::uintptr_t>(frame.get()) % 64, 0);
		frame->pixels[4095] = 1;
		frame.publish();
		zcp::Sample<Frame> seen = MUST(view.next(20s));
		ck_assert_uint_eq(reinterpret_cast<std::uintptr_t>(seen.get()) % 64, 0);
		ck_assert_uint_eq(seen->pixels[4095], 1);
	}
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(latest)
{
	lib_router_start();
	{
		zcp::Node node = join("n");
		zcp::PublisherOptions options;
		options.history = 1;
		zcp::Publisher<Pose> publisher(node, topic, options);
		publisher.send(Pose{ 1, 0, 0 });
		publisher.send(Pose{ 2, 0, 0 });
		zcp::Latest<Pose> latest(node, topic);

		ck_assert(latest.wait(20s));
		ck_assert_uint_eq(MUST(latest.get())->number, 2);
		ck_assert_uint_eq(MUST(latest.get())->number, 2);
		ck_assert(!latest.wait(0s));
		publisher.send(Pose{ 3, 0, 0 });
		ck_assert(latest.wait(20s));
		ck_assert_uint_eq(MUST(latest.get())->number, 3);
	}
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- requests and responses ----------------------------------------------------------------------- */

START_TEST(calls)
{
	lib_router_start();
	{
		zcp::Node node = join("n");
		zcp::Server<Pose, std::byte> server(node, topic);
		zcp::Client<Pose, std::byte> client(node, topic);

		ck_assert(client.connect(1, 20s));
		ck_assert_int_eq(client.servers(), 1);
		ck_assert_int_eq(error_of([&] { (void)client.call(Pose{}, 1ms); }), ETIMEDOUT);
		ck_assert(server.wait(20s));
		{
			auto late = MUST(server.take());
			ck_assert(late.expired());
			ck_assert(late.deadline().has_value());
		}

		std::uint64_t asked = client.send(Pose{ 5, 1, 2 });
		client.send_one_way(Pose{ 6, 0, 0 });
		zcp::RequestLoan<Pose> loan = client.loan();
		loan->number = 9;
		std::uint64_t lent = loan.send();
		ck_assert(!loan);
		(void)client.loan();

		ck_assert(server.wait(20s));
		ck_assert_int_eq(server.clients(), 1);
		{
			auto request = MUST(server.take());
			ck_assert_uint_eq(request->number, 5);
			ck_assert_uint_eq(request.id(), asked);
			ck_assert_uint_eq(request.client(), client.id());
			ck_assert(!request.one_way() && !request.expired() && !request.deadline());
			ck_assert(request.reply_more("one"));
			auto reply = MUST(request.loan(100));
			std::memcpy(reply.data(), "two", 3);
			reply.shrink(3);
			ck_assert(reply.send());
			ck_assert_int_eq(error_of([&] { request.reply("three"); }), EALREADY);
			auto silent = MUST(server.take());
			ck_assert(silent.one_way());
			auto unanswered = MUST(server.take());
			ck_assert_uint_eq(unanswered.id(), lent);
			ck_assert(MUST(unanswered.loan(10)));
		}
		ck_assert(!server.take());

		ck_assert(client.wait(20s));
		auto first = MUST(client.take());
		ck_assert(first && first.more() && first.text() == "one" && first.id() == asked && first.server() == server.id());
		auto second = MUST(client.take());
		ck_assert(second && !second.more() && second.text() == "two");
		ck_assert(client.wait(20s));
		auto third = MUST(client.take());
		ck_assert(!third);
		ck_assert_int_eq(third.status(), ENODATA);
		ck_assert(!client.take());
		std::uint64_t timed = client.send(Pose{}, 1ms);
		std::uint64_t forgotten = client.send(Pose{}, 1h);
		ck_assert(client.forget(forgotten));
		ck_assert(!client.forget(forgotten));
		ck_assert(client.wait(20s));
		auto late = MUST(client.take());
		ck_assert_uint_eq(late.id(), timed);
		ck_assert_int_eq(late.status(), ETIMEDOUT);
		first = std::move(second);
		ck_assert(first.text() == "two");
	}
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(calls_that_do_not_fit)
{
	lib_router_start();
	{
		zcp::Node node = join("n");
		zcp::Server<Pose, Velocity> server(node, topic);

		ck_assert_int_eq(error_of([&] { zcp::Client<Velocity, Velocity> wrong(node, topic); }), EPROTOTYPE);
		ck_assert_int_eq(error_of([&] { zcp::Client<Pose, Pose> wrong(node, topic); }), EPROTOTYPE);

		/* a client without types */
		zcp::Client<std::byte, std::byte> client(node, topic);
		ck_assert(client.connect(1, 20s));
		client.send("no pose");
		ck_assert(server.wait(20s));
		ck_assert(!server.take());
		ck_assert_uint_eq(server.unfit(), 1);
		ck_assert(client.wait(20s));
		ck_assert_int_eq(MUST(client.take()).status(), ENODATA);

		/* a server without types */
		const zcp::Topic other = { "hpp", "test", "untyped" };
		zcp::Server<std::byte, std::byte> untyped(node, other);
		zcp::Client<Pose, Velocity> typed_client(node, other);
		ck_assert(typed_client.connect(1, 20s));
		typed_client.send(Pose{});
		ck_assert(untyped.wait(20s));
		ck_assert(MUST(untyped.take()).reply("no velocity"));
		ck_assert(typed_client.wait(20s));
		ck_assert_int_eq(MUST(typed_client.take()).status(), EBADMSG);
		typed_client.send(Pose{});
		ck_assert(untyped.wait(20s));
		{
			auto request = MUST(untyped.take());
			{
				zcp::Client<Pose, Velocity> gone = std::move(typed_client);
			}
			for (int i = 0; i < 20000 && request.reply_more("anybody there?"); i++)
				poll(nullptr, 0, 1);
			ck_assert(!request.reply("anybody there?"));
		}
	}
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- events, watches, wait sets ------------------------------------------------------------------- */

START_TEST(events)
{
	lib_router_start();
	{
		zcp::Node node = join("n");
		zcp::Listener listener(node, topic);
		zcp::Notifier notifier(node, topic);

		ck_assert(notifier.wait(1, 20s));
		ck_assert_int_eq(notifier.listeners(), 1);
		ck_assert(!listener.take());
		ck_assert(!listener.wait(0s));
		ck_assert_int_eq(notifier.notify(3), 1);
		notifier.notify(3);
		ck_assert(listener.wait(20s));
		zcp::Event event = MUST(listener.take());
		ck_assert_uint_eq(event.id, 3);
		ck_assert_uint_eq(event.count, 2);
		ck_assert_int_eq(error_of([&] { notifier.notify(256); }), ERANGE);
	}
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(watch)
{
	lib_router_start();
	{
		zcp::Node node = join("watcher");
		zcp::Watch watch(node, "hpp");
		zcp::Node other = join("other");
		zcp::Publisher<Pose> publisher(other, topic);
		bool seen = false;

		while (!seen) {
			ck_assert(watch.wait(20s));
			while (auto event = watch.take())
				seen = seen || (event->kind == ZCP_WATCH_ENDPOINT_APPEARED && event->endpoint == publisher.id());
		}
		ck_assert_int_eq(error_of([&] { zcp::Watch wrong(node, "a/b/c/d"); }), EINVAL);
	}
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(wait_set)
{
	lib_router_start();
	{
		zcp::Node node = join("n");
		zcp::Subscriber<Pose> poses(node, topic);
		zcp::Subscriber<std::byte> texts(node, { "hpp", "test", "texts" });
		zcp::Publisher<Pose> publisher(node, topic);
		zcp::Listener listener(node, topic);
		zcp::Server<Pose, Pose> server(node, topic);
		zcp::Client<Pose, Pose> client(node, topic);
		zcp::WaitSet set;
		int fd = eventfd(0, EFD_CLOEXEC);
		int word = 0;

		set.add(poses, &word);
		set.add(texts);
		set.add(listener);
		set.add(server);
		set.add(client);
		set.add_fd(fd, POLLIN);
		ck_assert_int_eq(error_of([&] { set.add(poses); }), EEXIST);
		ck_assert(set.wait(0s).empty());

		ck_assert(publisher.wait(1, 20s));
		publisher.send(Pose{});
		{
			const std::vector<zcp::Ready> &ready = set.wait(20s);
			ck_assert_uint_eq(ready.size(), 1);
			ck_assert(ready[0].is(poses) && !ready[0].is(texts) && !ready[0].is(server));
			ck_assert_ptr_eq(ready[0].user, &word);
			ck_assert(poses.take().has_value());
		}
		eventfd_write(fd, 1);
		{
			const std::vector<zcp::Ready> &ready = set.wait(20s);
			ck_assert_uint_eq(ready.size(), 1);
			ck_assert_int_eq(ready[0].fd, fd);
		}
		set.remove_fd(fd);
		close(fd);
		int timer = set.add_timer(1ms);
		{
			const std::vector<zcp::Ready> &ready = set.wait(20s);
			ck_assert_uint_eq(ready.size(), 1);
			ck_assert_int_eq(ready[0].timer, timer);
		}
		ck_assert_int_eq(error_of([&] { set.remove_timer(timer); }), ENOENT);
		ck_assert(client.connect(1, 20s));
		client.send(Pose{});
		ck_assert(set.wait(20s).at(0).is(server));
		ck_assert(MUST(server.take()).reply(Pose{}));
		ck_assert(set.wait(20s).at(0).is(client));
		ck_assert(bool(MUST(client.take())));
		set.remove(poses);
		publisher.send(Pose{});
		ck_assert(set.wait(0s).empty());
		set.remove(client);
		set.remove(server);
		set.remove(listener);
		/* texts goes before the wait set, which is fine, but is said */
		{
			zcp::Subscriber<std::byte> gone = std::move(texts);
		}
		ck_assert_int_eq(error_of([&] { (void)set.wait(20s); }), EBADF);
	}
	lib_router_stop(SIGTERM);
}
END_TEST

/* --- objects -------------------------------------------------------------------------------------- */

/* The node, then the subscriber goes while a sample is held; assignment ends what was there before. */
START_TEST(order_of_ends)
{
	lib_router_start();
	{
		std::optional<zcp::Sample<Pose>> sample;
		{
			zcp::Node outer = join("outer");
			zcp::Subscriber<Pose> subscriber(outer, topic);
			std::optional<zcp::Publisher<Pose>> publisher;
			{
				zcp::Node node = join("inner");
				publisher.emplace(node, topic);
			}
			ck_assert(publisher->wait(1, 20s));
			ck_assert_int_eq(publisher->send(Pose{ 11, 0, 0 }), 1);
			sample = subscriber.next(20s);

			zcp::Node node = join("third");
			zcp::Publisher<Pose> other(node, topic);
			std::uint64_t id = other.id();
			*publisher = std::move(other);
			ck_assert_uint_eq(publisher->id(), id);
			node = join("fourth");
			ck_assert(publisher->wait(1, 20s));
		}
		ck_assert_uint_eq((*sample)->number, 11);
	}
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(descriptors)
{
	lib_router_start();
	{
		zcp::Node giver = join("giver"), taker = join("taker");
		zcp::Publisher<Pose> publisher(giver, topic);
		zcp::Subscriber<Pose> subscriber(taker, topic);
		int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		std::uint64_t token = giver.offer_fd(null);

		ck_assert(publisher.wait(1, 20s));
		publisher.send(Pose{});
		ck_assert(subscriber.next(20s).has_value());
		int taken = taker.take_fd(publisher.id(), token, 20s);
		ck_assert_int_ge(taken, 0);
		close(taken);
		giver.withdraw_fd(token);
		ck_assert_int_eq(error_of([&] { giver.withdraw_fd(token); }), ENOENT);
		close(null);
	}
	lib_router_stop(SIGTERM);
}
END_TEST

START_TEST(timeouts)
{
	ck_assert_int_eq(zcp::Timeout(1s).ns(), 1000000000);
	ck_assert_int_eq(zcp::Timeout(1500us).ns(), 1500000);
	ck_assert_int_eq(zcp::Timeout(std::chrono::duration<double>(0.25)).ns(), 250000000);
	ck_assert_int_eq(zcp::Timeout(0s).ns(), 0);
	ck_assert_int_eq(zcp::Timeout(-1ns).ns(), 0);
	ck_assert_int_eq(zcp::Timeout(std::chrono::hours::max()).ns(), -1);
	ck_assert_int_eq(zcp::Timeout(std::chrono::nanoseconds::max()).ns(), -1);
	ck_assert_int_eq(zcp::forever.ns(), -1);
}
END_TEST

START_TEST(no_router)
{
	zcp::NodeOptions options;

	options.socket_path = "/nowhere/router.sock";
	try {
		zcp::Node node("n", options);
		ck_abort_msg("joined nobody");
	} catch (const zcp::Error &error) {
		ck_assert_int_eq(error.number(), ENOENT);
		ck_assert_ptr_nonnull(std::strstr(error.what(), "/nowhere/router.sock"));
	}
	options.wait_for_router = true;
	zcp::Node node("n", options);
	ck_assert(!node.wait(1ms));
	ck_assert_uint_eq(node.id(), 0);
}
END_TEST

template <class T> inline constexpr bool only_moves = std::is_nothrow_move_constructible_v<T> && std::is_nothrow_move_assignable_v<T> &&
						      std::is_nothrow_destructible_v<T> && !std::is_copy_constructible_v<T> &&
						      !std::is_copy_assignable_v<T>;
static_assert(only_moves<zcp::Node> && only_moves<zcp::Publisher<Pose>> && only_moves<zcp::Subscriber<std::byte>> &&
	      only_moves<zcp::Loan<Pose>> && only_moves<zcp::Sample<Pose>> && only_moves<zcp::Latest<Pose>> &&
	      only_moves<zcp::Client<Pose, Pose>> && only_moves<zcp::Server<Pose, Pose>> && only_moves<zcp::Request<Pose, Pose>> &&
	      only_moves<zcp::Response<Pose>> && only_moves<zcp::RequestLoan<Pose>> && only_moves<zcp::ReplyLoan<std::byte>> &&
	      only_moves<zcp::Notifier> && only_moves<zcp::Listener> && only_moves<zcp::Watch> && only_moves<zcp::WaitSet>);

int main()
{
	Suite *suite = suite_create("hpp");
	TCase *tcase = add_test_case(suite, "hpp", 60);

	tcase_add_test(tcase, typed);
	tcase_add_test(tcase, samples_are_given_back);
	tcase_add_test(tcase, loans_are_discarded);
	tcase_add_test(tcase, no_room);
	tcase_add_test(tcase, bytes);
	tcase_add_test(tcase, types);
	tcase_add_test(tcase, latest);
	tcase_add_test(tcase, calls);
	tcase_add_test(tcase, calls_that_do_not_fit);
	tcase_add_test(tcase, events);
	tcase_add_test(tcase, watch);
	tcase_add_test(tcase, wait_set);
	tcase_add_test(tcase, order_of_ends);
	tcase_add_test(tcase, descriptors);
	tcase_add_test(tcase, timeouts);
	tcase_add_test(tcase, no_router);
	return run_suite(suite);
}
