/* SPDX-License-Identifier: MIT */
/*
 * zcp.hpp - zcp.h for C++17: handles that close themselves, messages that have a type
 *
 * A layer of inline functions over zcp.h, which has the whole truth about each call; zcp-cxx(7) is the manual of what is added here:
 *
 *  - Objects own what they stand for and end it in their destructor. They move without throwing, and are not copied. A Node is joined
 *    until the last endpoint that was opened with it is gone too, so the order in which they go does not matter. A loan is to be gone
 *    before its publisher or client; a sample, request or response may outlive everything.
 *  - What is normal life is a return value: an empty optional, or false. Failures are exceptions, zcp::Error. Destructors throw nothing.
 *  - Publisher<T> and all the others are of a trivially copyable T whose name the program gives as zcp::type_name<T>; endpoints meet if
 *    name, size and alignment agree. With T = std::byte messages are untyped and of any size.
 *  - Times to wait are std::chrono durations, or zcp::forever. Those not above zero do not wait.
 *
 * Threads and fork: as for the handles of zcp.h. Every object has handle() for what this layer has no words for.
 */
#ifndef ZCP_ZCP_HPP
#define ZCP_ZCP_HPP

#include <array>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

#include <zcp/zcp.h>

/* An Error that one shared object throws can be caught in another one, whatever the visibility these are built with. */
#pragma GCC visibility push(default)

namespace zcp {

/* ---- errors, times, options -------------------------------------------------------------------------------------- */

/** A call failed. code().value() is the errno value; what() begins with the sentence of zcp_last_error(). */
class Error : public std::system_error {
public:
	/** Of an errno value. Call it in the thread of the failure, before another call into the library. */
	explicit Error(int number) : Error(number, zcp_last_error()) {}
	Error(int number, const char *text) : std::system_error(number, std::generic_category(), text) {}

	/** The errno value: EAGAIN, not -EAGAIN. */
	[[nodiscard]] int number() const noexcept { return code().value(); }
};

/** How long a call may wait: any duration, or zcp::forever. */
class Timeout {
public:
	template <class Rep, class Period>
	constexpr Timeout(std::chrono::duration<Rep, Period> duration) noexcept : ns_(of(duration)) {}
	/** As zcp.h wants it, and for the timeouts in options: nanoseconds, -1 for ever. */
	[[nodiscard]] constexpr std::int64_t ns() const noexcept { return ns_; }

private:
	/* what is more than there is of it, 292 years, is for ever */
	template <class Duration> static constexpr std::int64_t of(Duration duration) noexcept
	{
		return !(duration > duration.zero()) ? 0
		       : std::chrono::duration<double, std::nano>(duration).count() >= 9.2e18
			       ? -1
			       : static_cast<std::int64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(duration).count());
	}
	std::int64_t ns_;
};

inline constexpr Timeout forever{ std::chrono::duration<double>(1e12) };

/** An option struct of zcp.h, all defaults, with `sz` set: zcp::NodeOptions o; o.autostart = true; */
template <class C> struct Options : C {
	Options() noexcept : C{} { this->sz = sizeof(C); }
};
using NodeOptions = Options<zcp_node_options>;
using PublisherOptions = Options<zcp_publisher_options>;
using SubscriberOptions = Options<zcp_subscriber_options>;
using ServerOptions = Options<zcp_server_options>;
using ClientOptions = Options<zcp_client_options>;
using NotifierOptions = Options<zcp_notifier_options>;
using ListenerOptions = Options<zcp_listener_options>;
using WatchOptions = Options<zcp_watch_options>;
using WaitSetOptions = Options<zcp_waitset_options>;

using Topic = zcp_topic;
using Stats = struct zcp_subscriber_stats;

/** Version of the library that runs. */
[[nodiscard]] inline const char *version() noexcept
{
	return zcp_version();
}

/* ---- what messages are made of ----------------------------------------------------------------------------------- */

/**
 * The name that a type of messages has for all programs that exchange it, whatever they are written in. To be given at namespace scope:
 *
 *	template <> inline constexpr const char *zcp::type_name<Pose> = "robot/Pose";
 */
template <class T> inline constexpr const char *type_name = nullptr;

/** Bytes to be sent, that are somewhere else: a pointer and a size, a text, a container. */
class Bytes {
public:
	constexpr Bytes() noexcept = default;
	constexpr Bytes(const void *data, std::size_t size) noexcept : data_(data), size_(size) {}
	constexpr Bytes(std::string_view text) noexcept : Bytes(text.data(), text.size()) {}
	/** A text without its terminating NUL. */
	Bytes(const char *text) noexcept : Bytes(text, std::strlen(text)) {}
	/** The elements of what has std::data() and std::size(). */
	template <class C, class E = std::remove_pointer_t<decltype(std::data(std::declval<const C &>()))>,
		  class = std::enable_if_t<std::is_trivially_copyable_v<E> && !std::is_convertible_v<const C &, const char *>>>
	constexpr Bytes(const C &container) noexcept : Bytes(std::data(container), std::size(container) * sizeof(E)) {}

	[[nodiscard]] constexpr const void *data() const noexcept { return data_; }
	[[nodiscard]] constexpr std::size_t size() const noexcept { return size_; }

private:
	const void *data_ = nullptr;
	std::size_t size_ = 0;
};

namespace detail {

/* Value: what the call returned. */
inline int check(int r)
{
	if (r < 0)
		throw Error(-r);
	return r;
}

/* False: the time has passed. */
inline bool in_time(int r)
{
	return r != -ETIMEDOUT && check(r) >= 0;
}

/* The other end has no room, or holds what there is: it may have later. */
inline bool no_room(int r) noexcept
{
	return r == -EAGAIN || r == -ETIMEDOUT || r == -ENOBUFS;
}

/* A handle of zcp.h that is closed with its owner, and before the node it belongs to. */
template <class H, void (*close)(H *)> class Handle {
public:
	Handle(Handle &&other) noexcept : node_(std::move(other.node_)), handle_(std::exchange(other.handle_, nullptr)) {}
	Handle &operator=(Handle &&other) noexcept
	{
		Handle taken(std::move(other));
		std::swap(node_, taken.node_);
		std::swap(handle_, taken.handle_);
		return *this;
	}
	~Handle() { close(handle_); }

	/** The handle, for calls of zcp.h. It stays this object's. */
	[[nodiscard]] H *handle() const noexcept { return handle_; }

protected:
	explicit Handle(std::shared_ptr<zcp_node> node) noexcept : node_(std::move(node)) {}

	std::shared_ptr<zcp_node> node_;
	H *handle_ = nullptr;
};

/* What a message of one T is, and what is asked of T. */
template <class T> struct Payload {
	static_assert(std::is_object_v<T> && !std::is_const_v<T> && !std::is_volatile_v<T>, "zcp: a message is of a plain object type");
	static_assert(!std::is_pointer_v<T>, "zcp: a pointer means nothing in another process");
	static_assert(std::is_trivially_copyable_v<T>, "zcp: other processes see the bytes of a message, so its type has to be trivially copyable");
	static_assert(type_name<T> != nullptr, "zcp: give the type a name: template <> inline constexpr const char *zcp::type_name<T> = \"...\";");
	static_assert(alignof(T) <= 8 || sizeof(T) > 232, "zcp: messages of up to 232 bytes may travel inside the ring, aligned to 8 bytes");
	static_assert(alignof(T) <= 4096, "zcp: messages are aligned to 4096 bytes at most");

	using Argument = const T &;
	static constexpr bool is_bytes = false;
	static zcp_type type() noexcept { return { type_name<T>, sizeof(T), alignof(T) }; }
	static const void *data(const T &value) noexcept { return std::addressof(value); }
	static constexpr std::size_t size(const T &) noexcept { return sizeof(T); }
	/* An endpoint that has no types can send us anything. */
	static bool fits(const void *data, std::size_t size) noexcept
	{
		return size == sizeof(T) && (alignof(T) <= 8 || reinterpret_cast<std::uintptr_t>(data) % alignof(T) == 0);
	}
};

template <> struct Payload<std::byte> {
	using Argument = Bytes;
	static constexpr bool is_bytes = true;
	static zcp_type type() noexcept { return {}; }
	static const void *data(Bytes bytes) noexcept { return bytes.data(); }
	static std::size_t size(Bytes bytes) noexcept { return bytes.size(); }
	static bool fits(const void *, std::size_t) noexcept { return true; }
};

/* Messages that do not fit are dropped; after that many in a row a take comes back, so that nobody can keep it busy. */
inline constexpr int most_unfit = 64;

/* Access to a message that is there to be read. Message: has raw(), with data and size. */
template <class T, class Message> class Reading {
public:
	[[nodiscard]] const T *get() const noexcept { return static_cast<const T *>(self().raw().data); }
	[[nodiscard]] const T &operator*() const noexcept { return *get(); }
	[[nodiscard]] const T *operator->() const noexcept { return get(); }

private:
	const Message &self() const noexcept { return static_cast<const Message &>(*this); }
};

template <class Message> class Reading<std::byte, Message> {
public:
	[[nodiscard]] const std::byte *data() const noexcept { return static_cast<const std::byte *>(self().raw().data); }
	[[nodiscard]] std::size_t size() const noexcept { return self().raw().size; }
	[[nodiscard]] const std::byte *begin() const noexcept { return data(); }
	[[nodiscard]] const std::byte *end() const noexcept { return data() + size(); }
	[[nodiscard]] std::string_view text() const noexcept { return { static_cast<const char *>(self().raw().data), size() }; }

private:
	const Message &self() const noexcept { return static_cast<const Message &>(*this); }
};

/* Room for a message, lent by an Owner that can discard it. */
template <class Owner> class Borrowed {
public:
	Borrowed(Borrowed &&other) noexcept : owner_(other.owner_), payload_(std::exchange(other.payload_, nullptr)), size_(other.size_) {}
	Borrowed &operator=(Borrowed &&other) noexcept
	{
		Borrowed taken(std::move(other));
		std::swap(owner_, taken.owner_);
		std::swap(payload_, taken.payload_);
		std::swap(size_, taken.size_);
		return *this;
	}
	~Borrowed() { discard(); }

	/** Give the room back unused, ahead of the destructor. */
	void discard() noexcept
	{
		if (payload_)
			owner_.discard(std::exchange(payload_, nullptr));
	}
	/** There is room: it was not sent, discarded or moved away. */
	[[nodiscard]] explicit operator bool() const noexcept { return payload_ != nullptr; }

protected:
	Borrowed(const Owner &owner, void *payload, std::size_t size) noexcept : owner_(owner), payload_(payload), size_(size) {}

	/* The loan is over if it went. */
	int gone(int r) noexcept
	{
		if (r >= 0)
			payload_ = nullptr;
		return r;
	}

	Owner owner_;
	void *payload_;
	std::size_t size_;
};

/* Access to a message that is being written. The memory has bytes of earlier messages in it, but for what the constructor of T sets. */
template <class T, class Owner> class Writing : public Borrowed<Owner> {
	static_assert(std::is_default_constructible_v<T>, "zcp: what is lent is a T() to begin with; send() works without");

public:
	[[nodiscard]] T *get() const noexcept { return static_cast<T *>(this->payload_); }
	[[nodiscard]] T &operator*() const noexcept { return *get(); }
	[[nodiscard]] T *operator->() const noexcept { return get(); }

protected:
	Writing(const Owner &owner, void *payload, std::size_t size) : Borrowed<Owner>(owner, ::new (payload) T, size) {}
};

template <class Owner> class Writing<std::byte, Owner> : public Borrowed<Owner> {
public:
	[[nodiscard]] std::byte *data() const noexcept { return static_cast<std::byte *>(this->payload_); }
	[[nodiscard]] std::size_t size() const noexcept { return this->size_; }
	[[nodiscard]] std::byte *begin() const noexcept { return data(); }
	[[nodiscard]] std::byte *end() const noexcept { return data() + size(); }
	/** The message will have @size bytes, no more than it has. */
	void shrink(std::size_t size)
	{
		if (size > this->size_)
			throw Error(EMSGSIZE, "a loan can only shrink");
		this->size_ = size;
	}

protected:
	using Borrowed<Owner>::Borrowed;
};

/* The size of a loan: of a T there is one, of bytes the caller says it. */
template <class T, class... Size> std::size_t loan_size(Size... size)
{
	if constexpr (Payload<T>::is_bytes) {
		static_assert(sizeof...(size) == 1, "zcp: a loan of bytes takes their number");
		return static_cast<std::size_t>((size + ...));
	} else {
		static_assert(sizeof...(size) == 0, "zcp: a loan of a type takes no size");
		return sizeof(T);
	}
}

template <class H> constexpr void check_header()
{
	static_assert(std::is_trivially_copyable_v<H> && (sizeof(H) == 8 || sizeof(H) == 16) && alignof(H) <= 8,
		      "zcp: a user header is trivially copyable, of 8 or 16 bytes");
}

inline std::chrono::steady_clock::time_point time_point(std::uint64_t ns) noexcept
{
	return std::chrono::steady_clock::time_point(std::chrono::nanoseconds(static_cast<std::int64_t>(ns)));
}

} // namespace detail

/* ---- node -------------------------------------------------------------------------------------------------------- */

/** A membership at the router, zcp_node_open(3). Ends when this and all that was opened with it is gone. */
class Node {
public:
	explicit Node(const std::string &name, const NodeOptions &options = {})
	{
		zcp_node *node = nullptr;

		detail::check(zcp_node_open(&node, name.c_str(), &options));
		node_ = std::shared_ptr<zcp_node>(node, zcp_node_close);
	}
	Node(Node &&) noexcept = default;
	Node &operator=(Node &&) noexcept = default;
	Node(const Node &) = delete;
	Node &operator=(const Node &) = delete;
	~Node() = default;

	[[nodiscard]] zcp_node *handle() const noexcept { return node_.get(); }
	[[nodiscard]] std::uint64_t id() const noexcept { return zcp_node_id(handle()); }

	/** Wait until it is joined; false: not yet. */
	[[nodiscard]] bool wait(Timeout timeout) { return detail::in_time(zcp_node_wait(handle(), timeout.ns())); }
	[[nodiscard]] int fd() const { return detail::check(zcp_node_fd(handle())); }
	int dispatch() { return detail::check(zcp_node_dispatch(handle())); }

	/** Have the router publish a message. Returns the number of subscribers reached. */
	int send(const Topic &topic, Bytes bytes) { return detail::check(zcp_node_send(handle(), &topic, bytes.data(), bytes.size())); }

	/** Offer a descriptor, which stays the caller's. Returns the token to be sent along. */
	[[nodiscard]] std::uint64_t offer_fd(int fd)
	{
		std::uint64_t token = 0;

		detail::check(zcp_node_offer_fd(handle(), fd, &token));
		return token;
	}
	void withdraw_fd(std::uint64_t token) { detail::check(zcp_node_withdraw_fd(handle(), token)); }
	/** Returns a descriptor that is the caller's to close. */
	[[nodiscard]] int take_fd(std::uint64_t endpoint, std::uint64_t token, Timeout timeout)
	{
		return detail::check(zcp_node_take_fd(handle(), endpoint, token, timeout.ns()));
	}

	/** For what is opened with it. */
	[[nodiscard]] const std::shared_ptr<zcp_node> &shared() const noexcept { return node_; }

private:
	std::shared_ptr<zcp_node> node_;
};

/* ---- publisher --------------------------------------------------------------------------------------------------- */

namespace detail {
struct PublisherLoans {
	zcp_publisher *publisher;
	void discard(void *payload) const noexcept { zcp_publisher_discard(publisher, payload); }
};
} // namespace detail

/** Room for a message of a publisher, discarded unless it is published. Gone before its publisher is. */
template <class T> class Loan : public detail::Writing<T, detail::PublisherLoans> {
public:
	/** Returns the number of subscribers connected. On EAGAIN and ETIMEDOUT the loan stays, to be tried again. */
	int publish() { return detail::check(leave()); }
	/** With a user header of options.header_size bytes. */
	template <class H> int publish_with(const H &header)
	{
		detail::check_header<H>();
		return detail::check(this->gone(zcp_publisher_publish_with(this->owner_.publisher, this->payload_, this->size_, &header)));
	}
	/** Empty: there is no room at a reliable subscriber, and the loan stays. */
	[[nodiscard]] std::optional<int> try_publish()
	{
		int r = leave();

		return detail::no_room(r) ? std::nullopt : std::optional<int>(detail::check(r));
	}

private:
	template <class> friend class Publisher;
	using detail::Writing<T, detail::PublisherLoans>::Writing;

	int leave() noexcept { return this->gone(zcp_publisher_publish(this->owner_.publisher, this->payload_, this->size_)); }
};

/** zcp_publisher_open(3). */
template <class T> class Publisher : public detail::Handle<zcp_publisher, zcp_publisher_close> {
public:
	/** options.type is set from T. */
	Publisher(const Node &node, const Topic &topic, PublisherOptions options = {}) : Handle(node.shared())
	{
		options.type = detail::Payload<T>::type();
		detail::check(zcp_publisher_open(&handle_, node.handle(), &topic, &options));
	}

	/** Borrow room: loan() for a T, loan(size) for bytes. */
	template <class... Size> [[nodiscard]] Loan<T> loan(Size... size)
	{
		std::size_t bytes = detail::loan_size<T>(size...);
		void *payload = nullptr;

		detail::check(zcp_publisher_loan(handle_, bytes, &payload));
		return Loan<T>(detail::PublisherLoans{ handle_ }, payload, bytes);
	}
	/** Empty: no room at a reliable subscriber, too many loans are open, or subscribers hold all there is. */
	template <class... Size> [[nodiscard]] std::optional<Loan<T>> try_loan(Size... size)
	{
		std::size_t bytes = detail::loan_size<T>(size...);
		void *payload = nullptr;
		int r = zcp_publisher_loan(handle_, bytes, &payload);

		if (detail::no_room(r))
			return std::nullopt;
		detail::check(r);
		return Loan<T>(detail::PublisherLoans{ handle_ }, payload, bytes);
	}

	/** Copy a message. Returns the number of subscribers connected. */
	int send(typename detail::Payload<T>::Argument message) { return detail::check(copy(message)); }
	/** With a user header of options.header_size bytes. */
	template <class H> int send_with(typename detail::Payload<T>::Argument message, const H &header)
	{
		detail::check_header<H>();
		return detail::check(zcp_publisher_send_with(handle_, detail::Payload<T>::data(message), detail::Payload<T>::size(message), &header));
	}
	/** Empty: as for try_loan(). */
	[[nodiscard]] std::optional<int> try_send(typename detail::Payload<T>::Argument message)
	{
		int r = copy(message);

		return detail::no_room(r) ? std::nullopt : std::optional<int>(detail::check(r));
	}

	[[nodiscard]] int subscribers() const { return detail::check(zcp_publisher_subscribers(handle_)); }
	/** Wait until so many are connected; false: not in time. */
	[[nodiscard]] bool wait(int subscribers, Timeout timeout) { return detail::in_time(zcp_publisher_wait(handle_, subscribers, timeout.ns())); }
	[[nodiscard]] std::uint64_t id() const noexcept { return zcp_publisher_id(handle_); }

private:
	int copy(typename detail::Payload<T>::Argument message) noexcept
	{
		return zcp_publisher_send(handle_, detail::Payload<T>::data(message), detail::Payload<T>::size(message));
	}
};

/* ---- subscriber -------------------------------------------------------------------------------------------------- */

/** A message in place, given back with this object, which may outlive its subscriber and node. */
template <class T> class Sample : public detail::Reading<T, Sample<T>> {
public:
	/** Takes over a sample that the caller has, and leaves an empty one. */
	explicit Sample(zcp_sample &&raw) noexcept : raw_(std::exchange(raw, zcp_sample{})) {}
	Sample(Sample &&other) noexcept : Sample(std::move(other.raw_)) {}
	Sample &operator=(Sample &&other) noexcept
	{
		Sample taken(std::move(other));
		std::swap(raw_, taken.raw_);
		return *this;
	}
	~Sample() { release(); }

	/** Give it back ahead of the destructor. */
	void release() noexcept
	{
		if (raw_.owner)
			zcp_sample_release(&raw_);
	}
	/** There is a message: it was not released or moved away. */
	[[nodiscard]] explicit operator bool() const noexcept { return raw_.owner != nullptr; }

	[[nodiscard]] std::uint64_t sequence() const noexcept { return raw_.sequence; }
	/** Messages of this publisher that were lost right before this one. */
	[[nodiscard]] std::uint64_t lost() const noexcept { return raw_.lost; }
	/** Endpoint id of the publisher. */
	[[nodiscard]] std::uint64_t publisher() const noexcept { return raw_.publisher; }
	/** When it was published; the clock's epoch, if the publisher has no timestamps. */
	[[nodiscard]] std::chrono::steady_clock::time_point timestamp() const noexcept { return detail::time_point(raw_.timestamp_ns); }
	/** The user header; nullptr if its publisher has none of that size. */
	template <class H> [[nodiscard]] const H *header() const noexcept
	{
		detail::check_header<H>();
		return raw_.header_size == sizeof(H) ? static_cast<const H *>(raw_.header) : nullptr;
	}
	/** A copy that not even a hostile publisher can change afterwards. */
	template <class U = T> [[nodiscard]] std::enable_if_t<!detail::Payload<U>::is_bytes, U> copy() const noexcept
	{
		U value;

		zcp_sample_copy(&raw_, &value, sizeof(value));
		return value;
	}
	[[nodiscard]] const zcp_sample &raw() const noexcept { return raw_; }

private:
	zcp_sample raw_;
};

namespace detail {

/* What Subscriber and Latest have in common. */
template <class T> class Receiving : public Handle<zcp_subscriber, zcp_subscriber_close> {
public:
	/** Sleep until there is a message, or for Latest a newer value; false: not in time. */
	[[nodiscard]] bool wait(Timeout timeout) { return in_time(zcp_subscriber_wait(handle_, timeout.ns())); }
	/** For poll, epoll and io_uring. It stays this object's. */
	[[nodiscard]] int fd() { return check(zcp_subscriber_fd(handle_)); }
	[[nodiscard]] Stats stats() const
	{
		Stats stats{};

		stats.sz = sizeof(stats);
		check(zcp_subscriber_stats(handle_, &stats));
		return stats;
	}
	/** Messages dropped because they are not of the size of a T: their publishers have no types. */
	[[nodiscard]] std::uint64_t unfit() const noexcept { return unfit_; }

protected:
	Receiving(const Node &node, const Topic &topic, SubscriberOptions options) : Handle(node.shared())
	{
		options.type = Payload<T>::type();
		check(zcp_subscriber_open(&handle_, node.handle(), &topic, &options));
	}

	std::uint64_t unfit_ = 0;
};

} // namespace detail

/** zcp_subscriber_open(3). */
template <class T> class Subscriber : public detail::Receiving<T> {
public:
	/** options.type is set from T. */
	Subscriber(const Node &node, const Topic &topic, const SubscriberOptions &options = {}) : detail::Receiving<T>(node, topic, options) {}

	/** The next message, if there is one. */
	[[nodiscard]] std::optional<Sample<T>> take()
	{
		for (int i = 0; i < detail::most_unfit; i++) {
			zcp_sample raw{};
			int r = zcp_subscriber_take(this->handle_, &raw);

			if (r == -EAGAIN)
				break;
			detail::check(r);
			Sample<T> sample(std::move(raw));
			if (detail::Payload<T>::fits(sample.raw().data, sample.raw().size))
				return sample;
			this->unfit_++;
		}
		return std::nullopt;
	}
	/** The next message, waited for; empty: not in time. */
	[[nodiscard]] std::optional<Sample<T>> next(Timeout timeout)
	{
		using Clock = std::chrono::steady_clock;
		const Clock::time_point begin = Clock::now();

		for (Timeout left = timeout;;) {
			std::optional<Sample<T>> sample = take();

			if (sample || !this->wait(left))
				return sample;
			if (timeout.ns() > 0)
				left = std::chrono::nanoseconds(timeout.ns()) - (Clock::now() - begin);
		}
	}
};

/** The newest value of a topic, zcp_subscriber_latest(3). Its publishers are to keep a history of 1 for those that come later. */
template <class T> class Latest : public detail::Receiving<T> {
public:
	/** options.lossy is set, and a history of 1 if there is none. */
	Latest(const Node &node, const Topic &topic, const SubscriberOptions &options = {}) : detail::Receiving<T>(node, topic, adapt(options)) {}

	/** The newest value, the same one again until there is a newer one; empty: none yet, or it is not of the size of a T. */
	[[nodiscard]] std::optional<Sample<T>> get()
	{
		zcp_sample raw{};
		int r = zcp_subscriber_latest(this->handle_, &raw);

		if (r == -EAGAIN)
			return std::nullopt;
		detail::check(r);
		Sample<T> sample(std::move(raw));
		if (detail::Payload<T>::fits(sample.raw().data, sample.raw().size))
			return sample;
		this->unfit_++;
		return std::nullopt;
	}

private:
	static SubscriberOptions adapt(SubscriberOptions options) noexcept
	{
		options.lossy = true;
		options.history = options.history ? options.history : 1;
		return options;
	}
};

/* ---- request and response ---------------------------------------------------------------------------------------- */

namespace detail {
struct ClientLoans {
	zcp_client *client;
	void discard(void *payload) const noexcept { zcp_client_discard(client, payload); }
};
struct ReplyLoans {
	zcp_request request;
	void discard(void *payload) noexcept { zcp_request_discard(&request, payload); }
};

/* The client is gone or does not take its responses: its affair, and no failure of the server. */
inline bool reached(int r)
{
	return r != -EPIPE && !no_room(r) && check(r) >= 0;
}
} // namespace detail

/** Room for a request, discarded unless it is sent. Gone before its client is. */
template <class T> class RequestLoan : public detail::Writing<T, detail::ClientLoans> {
public:
	/** Returns the id that the response will have. Throws as zcp_client_send_loan(3) fails; EPIPE: the server that it was lent for has ended. */
	std::uint64_t send()
	{
		std::uint64_t id = 0;

		leave(&id);
		return id;
	}
	/** No response is wanted. */
	void send_one_way() { leave(nullptr); }

private:
	template <class, class> friend class Client;
	using detail::Writing<T, detail::ClientLoans>::Writing;

	void leave(std::uint64_t *id)
	{
		int r = this->gone(zcp_client_send_loan(this->owner_.client, this->payload_, this->size_, id));

		if (r == -EPIPE)
			this->payload_ = nullptr;
		detail::check(r);
	}
};

/** What became of a request. Given back with this object, which may outlive its client and node. */
template <class T> class Response : public detail::Reading<T, Response<T>> {
public:
	explicit Response(zcp_response &&raw) noexcept : raw_(std::exchange(raw, zcp_response{}))
	{
		if (raw_.status == 0 && !detail::Payload<T>::fits(raw_.data, raw_.size)) {
			zcp_response_release(&raw_);
			raw_.status = -EBADMSG;
		}
	}
	Response(Response &&other) noexcept : raw_(std::exchange(other.raw_, zcp_response{})) {}
	Response &operator=(Response &&other) noexcept
	{
		Response taken(std::move(other));
		std::swap(raw_, taken.raw_);
		return *this;
	}
	~Response() { zcp_response_release(&raw_); }

	/** There is an answer to read. */
	[[nodiscard]] explicit operator bool() const noexcept { return raw_.data != nullptr; }
	/** 0, or why there is none: EPIPE the server has ended, ETIMEDOUT, ENODATA it let go of the request, EBADMSG it is not of the size of a T. */
	[[nodiscard]] int status() const noexcept { return -raw_.status; }
	/** Of the request. */
	[[nodiscard]] std::uint64_t id() const noexcept { return raw_.id; }
	/** Further responses to the same request follow. */
	[[nodiscard]] bool more() const noexcept { return (raw_.flags & ZCP_MORE) != 0; }
	/** Endpoint id of the server. */
	[[nodiscard]] std::uint64_t server() const noexcept { return raw_.server; }
	[[nodiscard]] const zcp_response &raw() const noexcept { return raw_; }

private:
	zcp_response raw_;
};

/** zcp_client_open(3). */
template <class Req, class Res> class Client : public detail::Handle<zcp_client, zcp_client_close> {
public:
	/** The types in options are set from Req and Res. */
	Client(const Node &node, const Topic &topic, ClientOptions options = {}) : Handle(node.shared())
	{
		options.request_type = detail::Payload<Req>::type();
		options.response_type = detail::Payload<Res>::type();
		detail::check(zcp_client_open(&handle_, node.handle(), &topic, &options));
	}

	/** Ask, and wait for the response. Throws what zcp_client_call(3) fails with, ETIMEDOUT too; EBADMSG: it is not of the size of a Res. */
	[[nodiscard]] Sample<Res> call(typename detail::Payload<Req>::Argument request, Timeout timeout)
	{
		zcp_sample raw{};

		detail::check(zcp_client_call(handle_, detail::Payload<Req>::data(request), detail::Payload<Req>::size(request), &raw, timeout.ns()));
		Sample<Res> response(std::move(raw));
		if (!detail::Payload<Res>::fits(response.raw().data, response.raw().size))
			throw Error(EBADMSG, "the response is not of the size of its type");
		return response;
	}
	/** Ask, and go on. Returns the id that the response will have. */
	std::uint64_t send(typename detail::Payload<Req>::Argument request)
	{
		std::uint64_t id = 0;

		detail::check(zcp_client_send(handle_, detail::Payload<Req>::data(request), detail::Payload<Req>::size(request), &id));
		return id;
	}
	/** With a time of its own, after which it ends with ETIMEDOUT, whatever options.timeout is. */
	std::uint64_t send(typename detail::Payload<Req>::Argument request, Timeout timeout)
	{
		std::uint64_t id = 0;

		detail::check(zcp_client_send_timeout(handle_, detail::Payload<Req>::data(request), detail::Payload<Req>::size(request), &id,
						      timeout.ns()));
		return id;
	}
	/** Wait for it no longer. False: it has ended. */
	bool forget(std::uint64_t id)
	{
		int r = zcp_client_forget(handle_, id);

		return r != -ENOENT && detail::check(r) >= 0;
	}
	/** Tell, and want no response. */
	void send_one_way(typename detail::Payload<Req>::Argument request)
	{
		detail::check(zcp_client_send(handle_, detail::Payload<Req>::data(request), detail::Payload<Req>::size(request), nullptr));
	}
	/** Borrow room for a request: loan() for a Req, loan(size) for bytes. */
	template <class... Size> [[nodiscard]] RequestLoan<Req> loan(Size... size)
	{
		std::size_t bytes = detail::loan_size<Req>(size...);
		void *payload = nullptr;

		detail::check(zcp_client_loan(handle_, bytes, &payload));
		return RequestLoan<Req>(detail::ClientLoans{ handle_ }, payload, bytes);
	}

	/** The next response or end of a request, if there is one. */
	[[nodiscard]] std::optional<Response<Res>> take()
	{
		zcp_response raw{};
		int r = zcp_client_take(handle_, &raw);

		if (r == -EAGAIN)
			return std::nullopt;
		detail::check(r);
		return Response<Res>(std::move(raw));
	}
	/** Sleep until there is a response; false: not in time. */
	[[nodiscard]] bool wait(Timeout timeout) { return detail::in_time(zcp_client_wait(handle_, timeout.ns())); }
	[[nodiscard]] int fd() { return detail::check(zcp_client_fd(handle_)); }
	[[nodiscard]] int servers() const { return detail::check(zcp_client_servers(handle_)); }
	/** Wait until so many servers are connected; false: not in time. */
	[[nodiscard]] bool connect(int servers, Timeout timeout) { return detail::in_time(zcp_client_connect(handle_, servers, timeout.ns())); }
	[[nodiscard]] std::uint64_t id() const noexcept { return zcp_client_id(handle_); }
};

/** Room for a response, discarded unless it is sent. Gone before its request is. */
template <class T> class ReplyLoan : public detail::Writing<T, detail::ReplyLoans> {
public:
	/** The last response. False: the client is gone or has no room; in the latter case the loan stays. */
	bool send() { return leave(0); }
	/** One of several. */
	bool send_more() { return leave(ZCP_MORE); }

private:
	template <class, class> friend class Request;
	using detail::Writing<T, detail::ReplyLoans>::Writing;

	bool leave(std::uint32_t flags)
	{
		return detail::reached(this->gone(zcp_request_send(&this->owner_.request, this->payload_, this->size_, flags)));
	}
};

/** A request in place. Given back with this object; if it was not answered by then, its client is told ENODATA. */
template <class Req, class Res> class Request : public detail::Reading<Req, Request<Req, Res>> {
public:
	explicit Request(zcp_request &&raw) noexcept : raw_(std::exchange(raw, zcp_request{})) {}
	Request(Request &&other) noexcept : Request(std::move(other.raw_)) {}
	Request &operator=(Request &&other) noexcept
	{
		Request taken(std::move(other));
		std::swap(raw_, taken.raw_);
		return *this;
	}
	~Request() { release(); }

	/** Give it back ahead of the destructor. */
	void release() noexcept
	{
		if (raw_.owner)
			zcp_request_release(&raw_);
	}
	/** There is a request: it was not released or moved away. */
	[[nodiscard]] explicit operator bool() const noexcept { return raw_.owner != nullptr; }

	/** The last response. False: the client is gone or has no room for it. */
	bool reply(typename detail::Payload<Res>::Argument response) { return answer(response, 0); }
	/** One of several responses. */
	bool reply_more(typename detail::Payload<Res>::Argument response) { return answer(response, ZCP_MORE); }
	/** Borrow room for a response: loan() for a Res, loan(size) for bytes. Empty: the client is gone or has no room. */
	template <class... Size> [[nodiscard]] std::optional<ReplyLoan<Res>> loan(Size... size)
	{
		std::size_t bytes = detail::loan_size<Res>(size...);
		void *payload = nullptr;

		if (!detail::reached(zcp_request_loan(&raw_, bytes, &payload)))
			return std::nullopt;
		return ReplyLoan<Res>(detail::ReplyLoans{ raw_ }, payload, bytes);
	}

	/** Unique among the requests of its client. */
	[[nodiscard]] std::uint64_t id() const noexcept { return raw_.id; }
	/** Endpoint id of the client. */
	[[nodiscard]] std::uint64_t client() const noexcept { return raw_.client; }
	/** Nobody waits for the response any more. */
	[[nodiscard]] bool expired() const noexcept { return (raw_.flags & ZCP_EXPIRED) != 0; }
	/** The client wants no response. */
	[[nodiscard]] bool one_way() const noexcept { return (raw_.flags & ZCP_ONE_WAY) != 0; }
	/** Until when the client waits; empty: for ever. */
	[[nodiscard]] std::optional<std::chrono::steady_clock::time_point> deadline() const noexcept
	{
		if (raw_.deadline_ns == 0)
			return std::nullopt;
		return detail::time_point(static_cast<std::uint64_t>(raw_.deadline_ns));
	}
	[[nodiscard]] const zcp_request &raw() const noexcept { return raw_; }

private:
	bool answer(typename detail::Payload<Res>::Argument response, std::uint32_t flags)
	{
		return detail::reached(
			zcp_request_reply_with(&raw_, detail::Payload<Res>::data(response), detail::Payload<Res>::size(response), flags));
	}

	zcp_request raw_;
};

/** zcp_server_open(3). */
template <class Req, class Res> class Server : public detail::Handle<zcp_server, zcp_server_close> {
public:
	/** The types in options are set from Req and Res. */
	Server(const Node &node, const Topic &topic, ServerOptions options = {}) : Handle(node.shared())
	{
		options.request_type = detail::Payload<Req>::type();
		options.response_type = detail::Payload<Res>::type();
		detail::check(zcp_server_open(&handle_, node.handle(), &topic, &options));
	}

	/** The next request, if there is one. One that is not of the size of a Req is given back unanswered. */
	[[nodiscard]] std::optional<Request<Req, Res>> take()
	{
		for (int i = 0; i < detail::most_unfit; i++) {
			zcp_request raw{};
			int r = zcp_server_take(handle_, &raw);

			if (r == -EAGAIN)
				break;
			detail::check(r);
			Request<Req, Res> request(std::move(raw));
			if (detail::Payload<Req>::fits(request.raw().data, request.raw().size))
				return request;
			unfit_++;
		}
		return std::nullopt;
	}
	/** Sleep until there is a request; false: not in time. */
	[[nodiscard]] bool wait(Timeout timeout) { return detail::in_time(zcp_server_wait(handle_, timeout.ns())); }
	[[nodiscard]] int fd() { return detail::check(zcp_server_fd(handle_)); }
	[[nodiscard]] int clients() const { return detail::check(zcp_server_clients(handle_)); }
	[[nodiscard]] std::uint64_t id() const noexcept { return zcp_server_id(handle_); }
	/** Requests given back unanswered because of their size: their clients have no types. */
	[[nodiscard]] std::uint64_t unfit() const noexcept { return unfit_; }

private:
	std::uint64_t unfit_ = 0;
};

/* ---- events ------------------------------------------------------------------------------------------------------ */

/** zcp_notifier_open(3). */
class Notifier : public detail::Handle<zcp_notifier, zcp_notifier_close> {
public:
	Notifier(const Node &node, const Topic &topic, const NotifierOptions &options = {}) : Handle(node.shared())
	{
		detail::check(zcp_notifier_open(&handle_, node.handle(), &topic, &options));
	}
	/** It has happened. Returns the number of listeners connected. */
	int notify(std::uint32_t event_id) { return detail::check(zcp_notifier_notify(handle_, event_id)); }
	[[nodiscard]] int listeners() const { return detail::check(zcp_notifier_listeners(handle_)); }
	/** Wait until so many are connected; false: not in time. */
	[[nodiscard]] bool wait(int listeners, Timeout timeout) { return detail::in_time(zcp_notifier_wait(handle_, listeners, timeout.ns())); }
	[[nodiscard]] std::uint64_t id() const noexcept { return zcp_notifier_id(handle_); }
};

/** What has happened, and how often since it was taken last. */
struct Event {
	std::uint32_t id;
	std::uint64_t count;
};

class Listener : public detail::Handle<zcp_listener, zcp_listener_close> {
public:
	Listener(const Node &node, const Topic &topic, const ListenerOptions &options = {}) : Handle(node.shared())
	{
		detail::check(zcp_listener_open(&handle_, node.handle(), &topic, &options));
	}
	[[nodiscard]] std::optional<Event> take()
	{
		Event event{};
		int r = zcp_listener_take(handle_, &event.id, &event.count);

		if (r == -EAGAIN)
			return std::nullopt;
		detail::check(r);
		return event;
	}
	/** Sleep until an event can be taken; false: not in time. */
	[[nodiscard]] bool wait(Timeout timeout) { return detail::in_time(zcp_listener_wait(handle_, timeout.ns())); }
	[[nodiscard]] int fd() { return detail::check(zcp_listener_fd(handle_)); }
	[[nodiscard]] int notifiers() const { return detail::check(zcp_listener_notifiers(handle_)); }
	[[nodiscard]] std::uint64_t id() const noexcept { return zcp_listener_id(handle_); }
};

/* ---- watch ------------------------------------------------------------------------------------------------------- */

/** zcp_watch_open(3). */
class Watch : public detail::Handle<zcp_watch, zcp_watch_close> {
public:
	explicit Watch(const Node &node, const std::string &pattern = {}, const WatchOptions &options = {}) : Handle(node.shared())
	{
		detail::check(zcp_watch_open(&handle_, node.handle(), pattern.c_str(), &options));
	}
	[[nodiscard]] std::optional<zcp_watch_event> take()
	{
		std::optional<zcp_watch_event> event(std::in_place);
		int r = zcp_watch_take(handle_, &*event);

		if (r == -EAGAIN)
			return std::nullopt;
		detail::check(r);
		return event;
	}
	/** Sleep until an event can be taken; false: not in time. */
	[[nodiscard]] bool wait(Timeout timeout) { return detail::in_time(zcp_watch_wait(handle_, timeout.ns())); }
	[[nodiscard]] int fd() { return detail::check(zcp_watch_fd(handle_)); }
};

/* ---- wait set ---------------------------------------------------------------------------------------------------- */

/** A member of a wait set that is ready. */
struct Ready : zcp_ready {
	explicit Ready(const zcp_ready &ready) noexcept : zcp_ready(ready) {}
	/** It is this subscriber, server, client, listener, watch or node. */
	template <class Member> [[nodiscard]] bool is(const Member &member) const noexcept { return object && object == member.handle(); }
};

/** zcp_waitset_open(3). A member that goes away is to be removed before; if it was not, the next wait throws EBADF, once. */
class WaitSet : public detail::Handle<zcp_waitset, zcp_waitset_close> {
public:
	explicit WaitSet(const WaitSetOptions &options = {}) : Handle(nullptr)
	{
		ready_.reserve(most);
		detail::check(zcp_waitset_open(&handle_, &options));
	}

	template <class T> void add(const detail::Receiving<T> &subscriber, void *user = nullptr)
	{
		detail::check(zcp_waitset_add_subscriber(handle_, subscriber.handle(), user));
	}
	template <class Req, class Res> void add(const Server<Req, Res> &server, void *user = nullptr)
	{
		detail::check(zcp_waitset_add_server(handle_, server.handle(), user));
	}
	template <class Req, class Res> void add(const Client<Req, Res> &client, void *user = nullptr)
	{
		detail::check(zcp_waitset_add_client(handle_, client.handle(), user));
	}
	void add(const Listener &listener, void *user = nullptr) { detail::check(zcp_waitset_add_listener(handle_, listener.handle(), user)); }
	void add(const Watch &watch, void *user = nullptr) { detail::check(zcp_waitset_add_watch(handle_, watch.handle(), user)); }
	void add(const Node &node, void *user = nullptr) { detail::check(zcp_waitset_add_node(handle_, node.handle(), user)); }
	void add_fd(int fd, std::uint32_t events, void *user = nullptr) { detail::check(zcp_waitset_add_fd(handle_, fd, events, user)); }
	/** Returns the timer's id, as in Ready.timer. interval zero: it expires once. */
	int add_timer(std::chrono::nanoseconds first, std::chrono::nanoseconds interval = {}, void *user = nullptr)
	{
		return detail::check(zcp_waitset_add_timer(handle_, first.count(), interval.count(), user));
	}

	template <class T> void remove(const detail::Receiving<T> &subscriber)
	{
		detail::check(zcp_waitset_remove_subscriber(handle_, subscriber.handle()));
	}
	template <class Req, class Res> void remove(const Server<Req, Res> &server)
	{
		detail::check(zcp_waitset_remove_server(handle_, server.handle()));
	}
	template <class Req, class Res> void remove(const Client<Req, Res> &client)
	{
		detail::check(zcp_waitset_remove_client(handle_, client.handle()));
	}
	void remove(const Listener &listener) { detail::check(zcp_waitset_remove_listener(handle_, listener.handle())); }
	void remove(const Watch &watch) { detail::check(zcp_waitset_remove_watch(handle_, watch.handle())); }
	void remove(const Node &node) { detail::check(zcp_waitset_remove_node(handle_, node.handle())); }
	void remove_fd(int fd) { detail::check(zcp_waitset_remove_fd(handle_, fd)); }
	void remove_timer(int timer) { detail::check(zcp_waitset_remove_timer(handle_, timer)); }

	/** Sleep until members are ready. Up to 64 of those that are, valid until the next wait; none: not in time. */
	[[nodiscard]] const std::vector<Ready> &wait(Timeout timeout)
	{
		std::array<zcp_ready, most> raw;
		int n;

		ready_.clear();
		n = zcp_waitset_wait(handle_, raw.data(), static_cast<int>(most), timeout.ns());
		if (detail::in_time(n))
			for (std::size_t i = 0; i < static_cast<std::size_t>(n); i++)
				ready_.emplace_back(raw[i]);
		return ready_;
	}
	/** For poll, epoll and io_uring: readable when wait() with a timeout of zero is to be called. It stays this object's. */
	[[nodiscard]] int fd() const { return detail::check(zcp_waitset_fd(handle_)); }

private:
	static constexpr std::size_t most = 64;
	std::vector<Ready> ready_;
};

} // namespace zcp

#pragma GCC visibility pop
#endif
