using Apvirt.Devices.Sysfs;

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
public sealed class UeventStream
{
    // Guards _listeners and the order of calls.
    private readonly Lock _gate = new();
    private Action<Uevent>[] _listeners = [];
    private long _sequence;

    /// <summary>Number of events so far.</summary>
    public long Sequence => Interlocked.Read(ref _sequence);

    /// <summary>Begins listening.</summary>
    /// <param name="listener">Called for each event.</param>
    /// <returns>Ends the listening when disposed.</returns>
    public IDisposable Listen(Action<Uevent> listener)
    {
        lock (_gate)
            _listeners = [.. _listeners, listener];
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
        if (_listeners.Length == 0)
        {
            Interlocked.Increment(ref _sequence);
            return;
        }
        List<KeyValuePair<string, string>> variables = [.. extra];
        source.AddVariables(variables);
        lock (_gate)
        {
            Uevent uevent = new(++_sequence, action, source.Directory.DevPath, subsystem, variables);
            foreach (Action<Uevent> listener in _listeners)
                listener(uevent);
        }
    }

    private sealed class Subscription(UeventStream stream, Action<Uevent> listener) : IDisposable
    {
        public void Dispose()
        {
            lock (stream._gate)
                stream._listeners = [.. stream._listeners.Where(l => l != listener)];
        }
    }
}
