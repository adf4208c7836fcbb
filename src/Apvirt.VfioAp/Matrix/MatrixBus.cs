using Apvirt.Devices.Core;
using Apvirt.Devices.Sysfs;
using Apvirt.Kernel;
using Apvirt.Kernel.Tasks;

namespace Apvirt.VfioAp.Matrix;

/// <summary>The bus that the matrix device is on, with its only driver (sysfs.md §4).</summary>
public sealed class MatrixBus : Bus
{
    private static readonly AttributeTable Table = new(StandardAttributes);

    /// <summary>Makes the bus.</summary>
    /// <param name="model">The machine's device model.</param>
    public MatrixBus(DeviceModel model) : base(model, "matrix")
    {
    }

    /// <inheritdoc/>
    public override AttributeTable Attributes => Table;

    /// <inheritdoc/>
    protected override bool Matches(Device device, Driver driver) => true;
}

/// <summary>The driver of the matrix device; it does nothing and cannot be bound by hand.</summary>
internal sealed class MatrixDriver(MatrixBus bus) : Driver(bus, "vfio_ap")
{
    public override bool SuppressesBind => true;

    public override ValueTask<Errno> ProbeAsync(KernelTask task, Device device) => new(Errno.Ok);

    public override ValueTask RemoveAsync(KernelTask task, Device device) => default;
}
