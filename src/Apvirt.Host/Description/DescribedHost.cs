using System.Text;
using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Hardware;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Host.Guests;
using Apvirt.Host.Machines;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;
using Apvirt.Kvm.Machines;
using Apvirt.Vfio.Mdev;
using Apvirt.VfioAp.Mdev;
using Apvirt.VfioPci.Zpci;

namespace Apvirt.Host.Description;

/// <summary>From a description to a running host, and back.</summary>
public static class DescribedHost
{
    /// <summary>The machine that a description asks for.</summary>
    /// <param name="description">The description.</param>
    /// <param name="scansByTimer">Whether the bus scans by timer.</param>
    public static MachineSetup ToSetup(HostDescription description, bool scansByTimer = true)
    {
        MachineDescription machine = description.Machine;
        ApMask adapters = ApMask.None;
        ApMask deconfigured = ApMask.None;
        ApMask checkstopped = ApMask.None;
        Dictionary<int, AdapterType> types = [];
        foreach (AdapterDescription adapter in description.Adapters)
        {
            adapters |= adapter.Ids;
            deconfigured |= adapter.Configured ? ApMask.None : adapter.Ids;
            checkstopped |= adapter.Checkstopped ? adapter.Ids : ApMask.None;
            foreach (int id in adapter.Ids)
                types[id] = adapter.Type;
        }
        ApFeatures features = ApFeatures.Apsc | ApFeatures.Qact | ApFeatures.Rc8a | (machine.Apxa ? ApFeatures.Apxa : ApFeatures.None);
        return new MachineSetup
        {
            Configuration = new QciInfo(features, machine.MaxAdapter, machine.MaxDomain, adapters, description.Domains, description.ControlDomains),
            Adapters = types,
            PciFunctions = description.PciFunctions,
            Profile = Profile.Find(machine.Profile) ?? Profile.Linux612,
            HasQci = machine.Qci,
            Deconfigured = deconfigured,
            Checkstopped = checkstopped,
            Bus = new ApBusOptions
            {
                ApMaskParameter = description.ApMaskText,
                AqMaskParameter = description.AqMaskText,
                DefaultDomain = machine.DefaultDomain,
                ConfigTimeSeconds = machine.ConfigTime,
                UseInterrupts = machine.Interrupts,
                PollTimeoutNanoseconds = machine.Zvm ? 1_500_000 : 250_000,
                ScansByTimer = scansByTimer,
            },
        };
    }

    /// <summary>Creates the mediated devices and starts the guests, through the same files and calls as anybody.</summary>
    /// <param name="task">The task.</param>
    /// <param name="host">The booted host.</param>
    /// <param name="description">The description.</param>
    /// <returns>What did not work, empty if all did.</returns>
    public static async ValueTask<IReadOnlyList<string>> PopulateAsync(KernelTask task, VirtualHost host, HostDescription description)
    {
        List<string> failures = [];
        foreach (MdevDescription mdev in description.Mdevs)
        {
            string name = mdev.Alias is null ? mdev.Uuid : $"{mdev.Alias} ({mdev.Uuid})";
            string matrix = host.VfioAp.Matrix.Path;
            await StoreAsync($"{matrix}/mdev_supported_types/vfio_ap-passthrough/create", mdev.Uuid, $"mdev {name}");
            await StoreAsync($"{matrix}/{mdev.Uuid}/ap_config", $"{mdev.Adapters},{mdev.Domains},{mdev.ControlDomains}\n", $"mdev {name}: its matrix");
        }
        foreach (VgpuDescription vgpu in description.Vgpus)
        {
            string adapter = host.Pci.Bus.Find(vgpu.Adapter)?.Path ?? "";
            await StoreAsync($"{adapter}/mdev_supported_types/i915-GVTg_V5_4/create", vgpu.Uuid, $"vGPU {vgpu.Alias ?? vgpu.Uuid}");
        }
        foreach (GuestDescription guest in description.Guests.Where(g => g.Start))
        {
            Errno error = await host.Guests.StartAsync(task, guest.Name, guest.Devices, ToOptions(guest));
            if (error != Errno.Ok)
                failures.Add($"guest {guest.Name}: {error} ({error.Describe()})");
        }
        return failures;

        async ValueTask StoreAsync(string path, string text, string what)
        {
            Errno error = await host.Tree.WriteAsync(task, path, Encoding.ASCII.GetBytes(text));
            if (error != Errno.Ok)
                failures.Add($"{what}: {error} ({error.Describe()})");
        }
    }

    /// <summary>Describes a host as it is now, so that a host can be brought up the same again.</summary>
    /// <param name="host">The host.</param>
    /// <param name="aliases">Aliases of mediated devices by UUID.</param>
    public static HostDescription Snapshot(VirtualHost host, IReadOnlyDictionary<string, string>? aliases = null)
    {
        QciInfo info = host.Hardware.Configuration;
        return new HostDescription
        {
            Machine = new MachineDescription
            {
                Profile = host.Profile.Name,
                Apxa = info.HasApxa,
                Qci = host.ApBus.HasQci,
                MaxAdapter = info.MaxAdapter,
                MaxDomain = info.MaxDomain,
                Interrupts = host.ApBus.UsesInterrupts,
                Zvm = host.ApBus.PollTimeoutNanoseconds == 1_500_000,
                ConfigTime = host.ApBus.ConfigTimeSeconds,
            },
            Adapters = DescribeAdapters(host, info.Apm),
            Domains = info.Aqm,
            ControlDomains = info.Adm,
            ApMaskText = host.ApBus.AdapterMask == ApMask.All ? null : host.ApBus.AdapterMask.ToString(),
            AqMaskText = host.ApBus.DomainMask == ApMask.All ? null : host.ApBus.DomainMask.ToString(),
            Mdevs =
            [
                .. host.MdevBus.Devices().OfType<MatrixMdev>().Where(m => m.IsRegistered).Select(m =>
                    new MdevDescription(m.Name, aliases?.GetValueOrDefault(m.Name), m.Matrix.Apm, m.Matrix.Aqm, m.Matrix.Adm)),
            ],
            PciFunctions =
            [
                .. host.Pci.Bus.Slots.Select(slot => slot.Setup with { IsForGuests = slot.Device?.LinkedDriver is VfioPciDriver }),
            ],
            Vgpus =
            [
                .. host.Pci.Vgpus.Where(vgpu => vgpu.IsRegistered).Select(vgpu =>
                    new VgpuDescription(vgpu.Name, aliases?.GetValueOrDefault(vgpu.Name), vgpu.Type.Parent.Device.Name)),
            ],
            Guests = [.. host.Guests.List().Select(DescribeGuest)],
        };
    }

    private static GuestOptions ToOptions(GuestDescription guest) => new()
    {
        RegistersRequest = guest.RegistersRequest,
        Machine = new VirtualMachineOptions
        {
            MemoryBytes = guest.MemoryBytes,
            VcpuCount = guest.Vcpus,
            HasAp = guest.Ap,
            HasGisa = guest.Gisa,
            IsProtected = guest.Protected,
        },
    };

    private static GuestDescription DescribeGuest(GuestProcess guest) => new()
    {
        Name = guest.Name,
        Devices = [.. guest.Devices.Select(device => device.DeviceName)],
        MemoryBytes = guest.Machine.Options.MemoryBytes,
        Vcpus = guest.Machine.Options.VcpuCount,
        Ap = guest.Machine.Options.HasAp,
        Gisa = guest.Machine.Options.HasGisa,
        Protected = guest.Machine.Options.IsProtected,
        RegistersRequest = guest.RegistersRequest,
    };

    // Neighbours that are alike are described together.
    private static List<AdapterDescription> DescribeAdapters(VirtualHost host, ApMask apm)
    {
        List<AdapterDescription> adapters = [];
        foreach (int apid in apm)
        {
            if (host.Hardware.TypeOf(apid) is not { } type)
                continue;
            (bool configured, bool checkstopped) = host.Hardware.StateOf(apid);
            AdapterDescription one = new(ApMask.Of(apid), type, configured, checkstopped);
            if (adapters.Count > 0 && adapters[^1] with { Ids = one.Ids } == one)
                adapters[^1] = adapters[^1] with { Ids = adapters[^1].Ids.With(apid) };
            else
                adapters.Add(one);
        }
        return adapters;
    }
}
