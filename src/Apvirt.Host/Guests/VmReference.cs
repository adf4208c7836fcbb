using Apvirt.Host.Machines;
using Apvirt.Vfio.Devices;

namespace Apvirt.Host.Guests;

/// <summary>Who holds references to a VM (kvm.md §1, I18).</summary>
/// <param name="Holder">What holds them: the VM's file, vCPUs in the kernel; of a device, that it is open, or its driver.</param>
/// <param name="Device">The device's name in the tree; null for the VM's own files.</param>
/// <param name="Count">How many.</param>
public sealed record VmReference(string Holder, string? Device, int Count)
{
    /// <inheritdoc/>
    public override string ToString() => (Device is null ? Holder : $"{Device} ({Holder})") + (Count == 1 ? "" : string.Create(System.Globalization.CultureInfo.InvariantCulture, $" ({Count})"));

    /// <summary>All references that there should be to a guest's VM, while nothing moves.</summary>
    /// <param name="host">The host.</param>
    /// <param name="guest">The guest.</param>
    public static IEnumerable<VmReference> Of(VirtualHost host, GuestProcess guest)
    {
        if (guest.HasVm)
            yield return new VmReference("VM file", null, 1);
        if (guest.VcpusInKernel > 0)
            yield return new VmReference("vCPUs in the kernel", null, guest.VcpusInKernel);
        foreach (VfioDevice device in host.VfioDevices)
        {
            if (device.Kvm == guest.Machine)
                yield return new VmReference("open", device.DeviceName, 1);
            if (device.DriverMachine == guest.Machine)
                yield return new VmReference("driver", device.DeviceName, 1);
        }
    }
}
