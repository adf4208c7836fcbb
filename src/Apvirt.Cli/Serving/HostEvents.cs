using System.Runtime.CompilerServices;
using System.Threading.Channels;
using Apvirt.Control;
using Apvirt.Devices.Events;
using Apvirt.Host.Machines;
using Apvirt.Host.Views;

namespace Apvirt.Cli.Serving;

/// <summary>What happens on a host, for whoever listens: uevents as they are sent, and changes of state seen between two looks.</summary>
internal static class HostEvents
{
    private static readonly TimeSpan Interval = TimeSpan.FromMilliseconds(200);
    private static readonly Dictionary<string, string> None = [];

    internal static async IAsyncEnumerable<HostEvent> Of(VirtualHost host, [EnumeratorCancellation] CancellationToken cancellation)
    {
        Channel<HostEvent> channel = Channel.CreateUnbounded<HostEvent>();
        using IDisposable listening = host.Model.Uevents.Listen(uevent => channel.Writer.TryWrite(Of(uevent)));
        using PeriodicTimer timer = new(Interval);
        HostView before = HostView.Of(host);
        yield return new HostEvent("host", "/sys", "listening", None);
        while (await timer.WaitForNextTickAsync(cancellation))
        {
            while (channel.Reader.TryRead(out HostEvent? happened))
                yield return happened;
            HostView now = HostView.Of(host);
            foreach (HostEvent change in Changes(before, now))
                yield return change;
            before = now;
        }
    }

    private static HostEvent Of(Uevent uevent) => new(
        "uevent", "/sys" + uevent.DevPath, uevent.Action,
        new Dictionary<string, string>(uevent.Variables.Append(new("SUBSYSTEM", uevent.Subsystem)).DistinctBy(v => v.Key).Select(v => new KeyValuePair<string, string>(v.Key, v.Value.TrimEnd('\n')))));

    private static IEnumerable<HostEvent> Changes(HostView before, HostView now) =>
        Changes("queue", before.Queues.ToDictionary(q => q.Apqn, Text), now.Queues.ToDictionary(q => q.Apqn, Text))
            .Concat(Changes("mdev", before.Mdevs.ToDictionary(m => m.Uuid, Text), now.Mdevs.ToDictionary(m => m.Uuid, Text)))
            .Concat(Changes("guest", before.Guests.ToDictionary(g => g.Name, Text), now.Guests.ToDictionary(g => g.Name, Text)));

    private static IEnumerable<HostEvent> Changes(string kind, Dictionary<string, string> before, Dictionary<string, string> now)
    {
        foreach ((string name, string state) in now)
        {
            string old = before.GetValueOrDefault(name, "absent");
            if (old != state)
                yield return new HostEvent(kind, name, $"{old} -> {state}", None);
        }
        foreach ((string name, string state) in before.Where(b => !now.ContainsKey(b.Key)))
            yield return new HostEvent(kind, name, $"{state} -> absent", None);
    }

    private static string Text(QueueView queue) => queue.Guest is null ? $"{queue.Driver ?? "unbound"}, {queue.Status}" : $"{queue.Driver}, {queue.Status} by {queue.Guest}";

    private static string Text(MdevView mdev) => $"{Ids(mdev.Adapters)} x {Ids(mdev.Domains)}, guest has {Ids(mdev.GuestAdapters)} x {Ids(mdev.GuestDomains)}";

    private static string Text(GuestView guest) => $"running, {guest.Queues} queues";

    private static string Ids(IReadOnlyList<string> ids) => ids.Count == 0 ? "-" : string.Join(',', ids);
}
