using Apvirt.Host.Views;

namespace Apvirt.Control;

/// <summary>What a command did.</summary>
/// <param name="Status">Its exit status.</param>
/// <param name="Out">What it printed.</param>
/// <param name="Error">Its messages.</param>
public sealed record CommandAnswer(int Status, string Out, string Error);

/// <summary>Where the tree of a guest is mounted.</summary>
/// <param name="Directory">The mount; null if it failed.</param>
/// <param name="Problem">Why it failed; null if it did not.</param>
public sealed record GuestTree(string? Directory, string? Problem);

/// <summary>Something that happened.</summary>
/// <param name="Kind"><c>host</c> for the first one, which says that listening has begun, then <c>uevent</c>, <c>queue</c>, <c>mdev</c> or <c>guest</c>.</param>
/// <param name="Name">What it happened to: a path below <c>/sys</c>, a queue, a UUID, a guest.</param>
/// <param name="Change">What happened: the action of a uevent, or <c>from -&gt; to</c>.</param>
/// <param name="Variables">Variables of a uevent; empty for others.</param>
public sealed record HostEvent(string Kind, string Name, string Change, IReadOnlyDictionary<string, string> Variables);

/// <summary>A running host as its control socket sees it. Calls may come from several clients at once.</summary>
public interface IControlledHost
{
    /// <summary>A picture of the host.</summary>
    HostView View();

    /// <summary>Carries out a command of the prompt.</summary>
    /// <param name="words">Its words.</param>
    CommandAnswer Execute(IReadOnlyList<string> words);

    /// <summary>Carries out an operation of traces.</summary>
    /// <param name="operation">A line of a trace, without answers.</param>
    /// <returns>The line with its answer; null and a message if it is no operation.</returns>
    (string? Line, string? Problem) Operate(string operation);

    /// <summary>Mounts what a guest's own AP bus sees.</summary>
    /// <param name="guest">Name of the guest.</param>
    GuestTree MountGuest(string guest);

    /// <summary>What happens from now on, until cancelled.</summary>
    /// <param name="cancellation">Ends it.</param>
    IAsyncEnumerable<HostEvent> Events(CancellationToken cancellation);

    /// <summary>Ends the host, soon.</summary>
    void Down();
}
