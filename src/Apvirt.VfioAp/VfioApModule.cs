using Apvirt.Ap.Architecture;
using Apvirt.Ap.Bus;
using Apvirt.Ap.Profiles;
using Apvirt.Devices.Core;
using Apvirt.Kernel.Tasks;
using Apvirt.Vfio.Devices;
using Apvirt.Vfio.Groups;
using Apvirt.Vfio.Mdev;
using Apvirt.VfioAp.Matrix;
using Apvirt.VfioAp.Mdev;

namespace Apvirt.VfioAp;

/// <summary>The vfio_ap module: matrix device first, then the AP driver, then the mdev driver and the parent (vfio-ap.md §2).</summary>
public sealed class VfioApModule
{
    private const int MaxInstances = ApMask.Size * ApMask.Size;

    private VfioApModule(MatrixDevice matrix, MdevParent parent)
    {
        Matrix = matrix;
        Parent = parent;
    }

    /// <summary>The matrix device.</summary>
    public MatrixDevice Matrix { get; }

    /// <summary>The parent of the mediated devices.</summary>
    public MdevParent Parent { get; }

    /// <summary>Loads the module.</summary>
    /// <param name="task">The loading task.</param>
    /// <param name="bus">The AP bus, already scanned.</param>
    /// <param name="mdevBus">The mdev bus.</param>
    /// <param name="groups">The machine's VFIO groups.</param>
    /// <param name="instructions">AP instructions, issued by the driver.</param>
    /// <param name="profile">Whose quirks apply.</param>
    public static async ValueTask<VfioApModule> LoadAsync(
        KernelTask task, ApBus bus, MdevBus mdevBus, VfioGroups groups, IApInstructions instructions, Profile profile)
    {
        DeviceModel model = bus.Model;
        ModuleDirectory module = new(model.Tree, "vfio_ap");
        RootDevice root = new(model, "vfio_ap");
        root.AddLink("module", module);
        model.Tree.Devices.Add(root);
        MatrixBus matrixBus = new(model);
        await matrixBus.RegisterDriverAsync(task, new MatrixDriver(matrixBus));
        MatrixDevice matrix = new(bus, instructions, groups, profile, root);
        await matrixBus.AddDeviceAsync(task, matrix);

        VfioApDriver driver = new(bus, matrix);
        driver.AddLink("module", module);
        await bus.RegisterDriverAsync(task, driver);

        VfioApMdevDriver mdevDriver = new(mdevBus, matrix);
        mdevDriver.AddLink("module", module);
        await mdevBus.RegisterDriverAsync(task, mdevDriver);
        MdevParent parent = new(mdevBus, matrix, mdevDriver, MaxInstances, "passthrough", "VFIO AP Passthrough Device");
        return new VfioApModule(matrix, parent);
    }
}
