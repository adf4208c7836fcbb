using Apvirt.Devices.Sysfs;
using Apvirt.Kernel.Runtime;
using Apvirt.Kernel.Sharing;

namespace Apvirt.Devices.Events;

/// <summary>One uevent (ap-bus.md §8).</summary>
/// <param name="Sequence">Number of the event on its host, from 1.</param>
/// <param name="Action">add, remove, change, bind, unbind, …</param>
/// <param name="DevPath">Path of the object below <c>/sys</c>.</param>
/// <param name="Subsystem">Bus or class of the object.</param>
/// <param name="Variables">Further variables in order.</param>
public sealed record Uevent(
    long Sequence, string Action, string DevPath, string Subsystem, IReadOnlyList<KeyValuePair<string, string>> Variables)
{
    /// <inheritdoc/>
    public override string ToString() =>
        $"{Action}@{DevPath} SUBSYSTEM={Subsystem}" + string.Concat(Variables.Select(v => $" {v.Key}={v.Value.TrimEnd('\n')}"));
}

/// <summary>Something that sends uevents.</summary>
public interface IUeventSource
{
    /// <summary>The object's directory.</summary>
    SysfsDirectory Directory { get; }

    /// <summary>Bus or class, null if the object sends no events of its own.</summary>
    string? Subsystem { get; }

    /// <summary>Adds the object's own variables in the order in which its <c>uevent</c> file shows them.</summary>
    /// <param name="variables">Where to add.</param>
    void AddVariables(ICollection<KeyValuePair<string, string>> variables);
}

/// <summary>
/// The uevents of a host as a stream. Without a listener an event costs one counter; its variables are only put together
/// when somebody wants them. Listeners are called in the order of the events, on the sender's task, and must not block.
/// </summary>
/// <param name="runtime">The runtime of the senders.</param>
public sealed class UeventStream(KernelRuntime runtime)
{
    private readonly SharedState<Stream> _stream = new("host", DeviceFields.Uevents, new Stream(Sequence: 0, Listeners: []));

    /// <summary>Number of events so far.</summary>
    public long Sequence
    {
        get
        {
            using SharedState<Stream>.Section section = _stream.Enter(runtime, AccessKind.Read);
            return section.Value.Sequence;
        }
    }

    /// <summary>Begins listening.</summary>
    /// <param name="listener">Called for each event.</param>
    /// <returns>Ends the listening when disposed.</returns>
    public IDisposable Listen(Action<Uevent> listener)
    {
        using (SharedState<Stream>.Section section = _stream.Enter(runtime, AccessKind.Write))
            section.Value = section.Value with { Listeners = [.. section.Value.Listeners, listener] };
        return new Subscription(this, listener);
    }

    /// <summary>Sends an event.</summary>
    /// <param name="source">What it is about.</param>
    /// <param name="action">The action.</param>
    /// <param name="key">Name of one extra variable, null if there is none.</param>
    /// <param name="value">Its value.</param>
    public void Send(IUeventSource source, string action, string? key = null, string value = "") =>
        Send(source, action, key is null ? [] : [new KeyValuePair<string, string>(key, value)]);

    /// <summary>Sends an event with several extra variables.</summary>
    /// <param name="source">What it is about.</param>
    /// <param name="action">The action.</param>
    /// <param name="extra">Variables that go before the object's own.</param>
    public void Send(IUeventSource source, string action, ReadOnlySpan<KeyValuePair<string, string>> extra)
    {
        if (source.Subsystem is not { } subsystem)
            return;
        // Who is told of nothing looks at no number either.
        using (SharedState<Stream>.Section section = _stream.Enter(runtime, AccessKind.Add))
        {
            if (section.Value.Listeners.Count == 0)
            {
                section.Value = section.Value with { Sequence = section.Value.Sequence + 1 };
                return;
            }
        }
        List<KeyValuePair<string, string>> variables = [.. extra];
        source.AddVariables(variables);
        Send(action, source.Directory.DevPath, subsystem, variables);
    }

    // Listeners are called within, which makes the order of the calls that of the events: they are outside the kernel and
    // touch nothing of it.
    private void Send(string action, string path, string subsystem, IReadOnlyList<KeyValuePair<string, string>> variables)
    {
        using SharedState<Stream>.Section section = _stream.Enter(runtime, AccessKind.Write);
        Stream stream = section.Value = section.Value with { Sequence = section.Value.Sequence + 1 };
        Uevent uevent = new(stream.Sequence, action, path, subsystem, variables);
        foreach (Action<Uevent> listener in stream.Listeners)
            listener(uevent);
    }

    private void Remove(Action<Uevent> listener)
    {
        using SharedState<Stream>.Section section = _stream.Enter(runtime, AccessKind.Write);
        section.Value = section.Value with { Listeners = [.. section.Value.Listeners.Where(l => l != listener)] };
    }

    // The number of the last event, and who is told of the next.
    private readonly record struct Stream(long Sequence, IReadOnlyList<Action<Uevent>> Listeners);

    private sealed class Subscription(UeventStream stream, Action<Uevent> listener) : IDisposable
    {
        public void Dispose() => stream.Remove(listener);
    }
}
